import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { BUCKET_MARKER } from '../../../services/local/bucket.ts'
import { bytes, filesBelow, put, sha256, startService } from '../../support/service/service.ts'
import { contentOf, get, receiptOf } from '../../support/service/stored-files.ts'
import { codeOfMissingBucket } from '../differences.ts'
import { MIB } from '../scene.ts'
import { isStored, nameIn, serviceScene, targetEnv } from './scene.ts'
import type { Target } from '../target.ts'

/** Uploads that the server refuses, for reasons that do not pass by themselves. */
export async function refusalContract (t: Test, target: Target): Promise<void> {
  const cases: [what: string, env: Record<string, string>, error_code: string][] = [
    ['a wrong key', { B2_APPLICATION_KEY: 'K004wrongwrongwrongwrongwrongwr' }, 'auth_error'],
    ['an unknown key id', { B2_APPLICATION_KEY_ID: '004ffffffffffff0000000001' }, 'auth_error'],
    ['another signing region', { B2_REGION: 'eu-central-003' }, 'auth_error'],
    ['a bucket that is not there', { B2_BUCKET: `no-such-bucket-${target.bucket}` }, codeOfMissingBucket(target)],
  ]
  for (const [what, env, error_code] of cases) {
    await serviceScene(t, target, `with ${what} files go to local storage, and to the bucket once that is put right`, async (t, { start, left, s3, prefix, settles }) => {
      const wrong = await start(env)
      const contents = [bytes(9 * MIB), bytes(1_000)]
      const answers = []
      for (const content of contents) {
        const answer = await put(wrong, content)
        isStored(t, answer, content, 'local', error_code)
        t.equal(await contentOf(wrong, nameIn(answer.body.track.key)), sha256(content))
        answers.push(answer)
      }
      t.match(wrong.log.of('b2.failed'), [{ level: 40, error_code, attempts: 1 }], 'the first alone, then the circuit is open')
      t.match(wrong.log.of('breaker.open'), [{ level: 40, error_code }])
      t.match(wrong.log.of('upload.stored').map(({ storage, fallback_reason }) => ({ storage, fallback_reason })), [
        { storage: 'local', fallback_reason: { error_code } }, { storage: 'local', fallback_reason: { error_code } },
      ])
      t.match((await get(wrong, '/ready')).body, { status: 'degraded', b2: { state: 'open', last_error: { error_code } }, pending_promotions: 2 })
      const told = JSON.stringify([answers, wrong.log.lines])
      for (const secret of [target.credentials.accessKeyId, target.credentials.secretAccessKey, env['B2_APPLICATION_KEY'], env['B2_APPLICATION_KEY_ID']]) {
        if (secret !== undefined) t.notOk(told.includes(secret), 'nothing of the credentials is told')
      }
      t.same(await left(), [])
      await wrong.app.close()
      // The directory belongs to the bucket that it has met.
      if ('B2_BUCKET' in env) await rm(join(wrong.dir, BUCKET_MARKER))

      const right = await startService(t, { ...targetEnv(target, prefix), LOCAL_STORAGE_DIR: wrong.dir })
      t.match(await right.app.uploads.promote(), { promoted: 2, failed: 0, pending: 0 })
      for (const [index, { body: { track } }] of answers.entries()) {
        t.equal(sha256(await s3.bytes(track.key)), sha256(contents[index]!))
        t.match((await receiptOf(right, nameIn(track.key))).body, { storage: 'b2', track })
      }
      await settles(t, answers.map(({ body }) => nameIn(body.track.key)))
      t.same(await filesBelow(wrong.dir), [])
    })
  }
}
