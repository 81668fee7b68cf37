import { rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const built = new Map<string, string>()

/**
 * One of the project's programs as a single file that Node.js can run, made of its sources. It starts in half the CPU time that
 * compiling each module anew takes, and tests start hundreds of processes.
 *
 * @param source path from the project's root
 */
export function program (source: string): string {
  let file = built.get(source)
  if (file === undefined) {
    // In the project, so that packages are found; for this process alone, as others may be building theirs.
    file = join(ROOT, '.tap', 'programs', `${process.pid}-${basename(source, '.ts')}.mjs`)
    buildSync({ entryPoints: [join(ROOT, source)], outfile: file, bundle: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20', sourcemap: 'inline' })
    built.set(source, file)
  }
  return file
}

process.once('exit', () => { for (const file of built.values()) rmSync(file, { force: true }) })
