import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import { S3 } from '../contract/s3.ts'
import type { Target } from '../contract/target.ts'
import { serverOfEnv } from './env-target.ts'
import { missingForSwift } from './swift.ts'
import { swiftTargets } from './swift-targets.ts'

/**
 * Runs tests on every server that there is: the one that `S3_*` variables name, else Swift, where it is installed. Without
 * either they are skipped, which is a failure with `S3_REQUIRED`. In the end nothing may be left there.
 * @param kinds whether all kinds of buckets are tried, or the one that is most like B2's
 */
export async function onRealServers (run: (t: Test, target: Target) => void, kinds: 'all kinds' | 'like B2'): Promise<void> {
  const named = serverOfEnv(process.env, `contract/${randomUUID()}/`)
  const missing = missingForSwift()
  if (named === undefined && missing.length > 0) {
    const reason = `no server: S3_ENDPOINT is not set, and Swift is not installed here (there is no ${missing.join(', ')})`
    if (process.env['S3_REQUIRED']) t.fail(reason)
    else t.plan(0, reason)
    return
  }
  const targets = named === undefined ? await swiftTargets(t) : [named]
  for (const target of kinds === 'all kinds' ? targets : targets.slice(0, 1)) {
    t.comment(`${target.name}: ${target.endpoint}`)
    run(t, target)
    await t.test(`${target.name}: nothing is left of all this`, async t => {
      const s3 = new S3(target)
      t.teardown(() => s3.close())
      t.same(await s3.all(target.prefix), [])
      await s3.clear(target.prefix)
    })
  }
}
