import { readdirSync } from 'node:fs'
import t from 'tap'

/**
 * Runs all test files of a directory of test/ in this process, one after another. With a process for each, most of the time would go into
 * starting and warming up what they all use. A file must leave the environment as it was: the next one finds it so.
 */
export function runArea (name: string): void {
  const directory = new URL(`../${name}/`, import.meta.url)
  const before = { ...process.env }
  // A test itself, so that no other begins before all are declared.
  t.test(`the files of ${name}`, async t => {
    for (const file of readdirSync(directory).filter(file => file.endsWith('.test.ts')).sort()) {
      await import(new URL(file, directory).href)
      leavesTheEnvironment(`${name}/${file}`, before)
    }
    t.strictSame({ ...process.env }, before, 'change the environment in tests only')
  })
}

/** Declared after the tests of the file, it runs after them. */
function leavesTheEnvironment (file: string, before: NodeJS.ProcessEnv): void {
  t.test(`${file} leaves the environment as it was`, async t => { t.strictSame({ ...process.env }, before) })
}
