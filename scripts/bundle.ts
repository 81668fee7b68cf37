import { createHash } from 'node:crypto'
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
/** In the project, so that packages are found. */
const PROGRAMS = join(ROOT, '.tap', 'programs')
/** Where there are no sources. */
const ELSEWHERE = new Set(['node_modules', 'dist', 'docs'])
/** Programs of other sources are removed when they are as old as this: a longer run builds its own anew. */
const KEPT_MS = 3_600_000
/** Packages that look for files beside their code; they stay where they are. */
const EXTERNAL = ['@fastify/swagger-ui']
/** What CommonJS modules find where they run. */
const COMMONJS = `import { createRequire as __createRequire } from 'node:module'
const require = __createRequire(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname`

let fingerprint: string | undefined

/**
 * One of the project's programs as a single file that Node.js can run, made of its sources and of the packages that it uses. It starts in a sixth
 * of the CPU time that compiling each module anew takes; and tests start hundreds of processes. All processes that run with the same sources
 * share it.
 *
 * @param source path from the project's root
 */
export function bundle (source: string): string {
  fingerprint ??= fingerprintOfSources()
  const file = join(PROGRAMS, `${fingerprint}-${source.replace(/\.ts$/, '').replaceAll('/', '-')}.mjs`)
  if (existsSync(file)) return file
  const own = `${file}.${process.pid}` // others may be building theirs
  buildSync({
    entryPoints: [join(ROOT, source)],
    outfile: own,
    bundle: true,
    external: EXTERNAL,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    banner: { js: COMMONJS },
    // The side effects that package.json denies are those of what is published, which test/ is not.
    ignoreAnnotations: true,
  })
  renameSync(own, file)
  removeOld(fingerprint)
  return file
}

/** Of all sources as they are when this process first asks, and of the versions of packages. */
function fingerprintOfSources (): string {
  const hash = createHash('sha256')
  for (const entry of readdirSync(ROOT, { withFileTypes: true })) {
    if (entry.name.startsWith('.') || ELSEWHERE.has(entry.name)) continue
    const files = entry.isDirectory() ? readdirSync(join(ROOT, entry.name), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts')) : ['']
    for (const file of files) {
      const path = join(ROOT, entry.name, file)
      const found = statSync(path, { throwIfNoEntry: false })
      hash.update(`${path} ${found?.mtimeMs} ${found?.size}\n`)
    }
  }
  return hash.digest('hex').slice(0, 16)
}

function removeOld (fingerprint: string): void {
  for (const name of readdirSync(PROGRAMS)) {
    const path = join(PROGRAMS, name)
    if (!name.startsWith(fingerprint) && Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Infinity) > KEPT_MS) rmSync(path, { force: true })
  }
}
