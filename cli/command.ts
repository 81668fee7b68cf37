#!/usr/bin/env node
import { createRequire } from 'node:module'

const HELP = `Usage: fastify-b2-uploads [command]

Streams uploads to Backblaze B2, and stores them locally if B2 fails.

  serve             runs the service in the foreground (the default)
  promote           moves files that fell back to local storage to B2, in one pass;
                    promote --help lists its options
  -h, --help        prints this
  -v, --version     prints the version

It is configured by environment variables, in development also by an .env file. .env.example lists them all.
`

const EXIT_USAGE = 2
const [command = 'serve', ...rest] = process.argv.slice(2)

if (command === 'promote') {
  process.argv.splice(2, 1) // the rest is for the program itself
  await import('./promote.ts')
} else if (command === 'serve' && rest.length === 0) {
  await import('../server.ts')
} else if (['-h', '--help'].includes(rest.length === 1 && command === 'serve' ? rest[0]! : command)) {
  process.stdout.write(HELP)
} else if (command === '-v' || command === '--version') {
  // By its own name, since the sources and what is built from them lie at different depths.
  process.stdout.write(`${createRequire(import.meta.url)('fastify-b2-uploads/package.json').version}\n`)
} else {
  const fault = command === 'serve' ? 'serve takes no options' : `there is no command ${command}`
  process.stderr.write(`fastify-b2-uploads: ${fault}; the commands are serve and promote. --help tells how it is used.\n`)
  process.exitCode = EXIT_USAGE
}
