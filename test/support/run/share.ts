import { readdirSync } from 'node:fs'
import { basename, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const realSetTimeout = setTimeout
const TESTS = new URL('../../', import.meta.url)

/** All test files below test/, but those that run them. */
export function testFiles (): string[] {
  return readdirSync(TESTS, { recursive: true, encoding: 'utf8' })
    .map(file => file.replaceAll(sep, '/'))
    .filter(file => file.endsWith('.test.ts') && !file.startsWith('tiers/'))
    .sort()
}

/** `x.test.ts` is a file of the first tier, `x.all.test.ts` one of the second. */
export const tierOf = (file: string): string => file.endsWith('.all.test.ts') ? 'second' : 'first'

/**
 * Runs a share of a tier in this process, one file after another: with a process for each file, most of the time would go into starting and
 * warming up what they all use. The shares of a tier are the files of test/tiers/ that are named after it. A test file must leave the
 * environment as it was: the next one finds it so.
 */
export function runShare (url: string): void {
  const own = basename(fileURLToPath(url))
  const tier = own.replace(/-.*/, '')
  const shares = readdirSync(new URL('tiers/', TESTS)).filter(file => file.startsWith(`${tier}-`)).sort()
  const files = testFiles().filter(file => tierOf(file) === tier).filter((_, index) => index % shares.length === shares.indexOf(own))
  runNext(files.values(), { ...process.env })
}

/** The tests of a file wait until the one that imports it has ended; what is declared behind them runs after them. */
function runNext (files: Iterator<string>, before: NodeJS.ProcessEnv): void {
  const { done, value: file } = files.next()
  if (done) return
  t.test(file, async () => {
    await import(new URL(file, TESTS).href)
    t.test(`${file} leaves the environment as it was`, async t => {
      t.strictSame({ ...process.env }, before)
      t.equal(setTimeout, realSetTimeout, 'a hook of the root would go on in every file behind it')
      runNext(files, before)
    })
  })
}
