import { existsSync } from 'node:fs'

// `server` or `cli/promote`; what follows is for the program itself.
const [name] = process.argv.splice(2, 1)
const program = new URL(`../dist/${name}.js`, import.meta.url)

if (!existsSync(program)) {
  // Standard output belongs to the program.
  console.error(`dist/${name}.js is missing: building it`)
  await import('./build.mjs')
}
// Imported rather than spawned, so that signals reach the program itself.
await import(program.href)
