import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
/** Packages that look for files beside their code; they stay where they are. */
const EXTERNAL = ['@fastify/swagger-ui']
/** What CommonJS modules find where they run. */
const COMMONJS = `import { createRequire as __createRequire } from 'node:module'
const require = __createRequire(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname`
const built = new Map<string, string>()

/**
 * One of the project's programs as a single file that Node.js can run, made of its sources and of the packages that it uses. It starts in a sixth
 * of the CPU time that compiling each module anew takes; and tests start hundreds of processes.
 *
 * @param source path from the project's root
 */
export function bundle (source: string): string {
  let file = built.get(source)
  if (file === undefined) {
    // In the project, so that packages are found; for this process alone, as others may be building theirs.
    file = join(ROOT, '.tap', 'programs', `${process.pid}-${source.replace(/\.ts$/, '').replaceAll('/', '-')}.mjs`)
    buildSync({
      entryPoints: [join(ROOT, source)],
      outfile: file,
      bundle: true,
      external: EXTERNAL,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      banner: { js: COMMONJS },
      // The side effects that package.json denies are those of what is published, which test/ is not.
      ignoreAnnotations: true,
    })
    built.set(source, file)
  }
  return file
}

process.once('exit', () => { for (const file of built.values()) rmSync(file, { force: true }) })
