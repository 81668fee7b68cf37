import { existsSync } from 'node:fs'

const server = new URL('../dist/server.js', import.meta.url)

if (!existsSync(server)) {
  // Standard output belongs to the service's log.
  console.error('dist/server.js is missing: building it')
  await import('./build.mjs')
}
// Imported rather than spawned, so that signals reach the service itself.
await import(server.href)
