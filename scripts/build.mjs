import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const root = new URL('../', import.meta.url)
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')

// What was deleted from the sources must not live on in the package.
rmSync(new URL('dist/', root), { recursive: true, force: true })
execFileSync(process.execPath, [compiler, '-p', fileURLToPath(new URL('tsconfig.build.json', root))], { stdio: 'inherit' })
