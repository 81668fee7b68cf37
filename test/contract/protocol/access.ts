import type { Test } from 'tap'
import { isAsB2 } from '../differences.ts'
import type { Difference } from '../differences.ts'
import { S3 } from '../s3.ts'
import type { Connection } from '../s3.ts'
import { refusal, scene } from '../scene.ts'
import type { Target } from '../target.ts'

/** Who is let in, and what the others are told. */
export async function accessProtocol (t: Test, target: Target): Promise<void> {
  const { credentials } = target
  const cases: [what: string, changes: Partial<Connection>, name: string, status: number, difference?: Difference][] = [
    ['an unknown key id', { credentials: { ...credentials, accessKeyId: '004ffffffffffff0000000001' } }, 'InvalidAccessKeyId', 403, 'unknown-key-is-bad-signature'],
    ['a wrong secret', { credentials: { ...credentials, secretAccessKey: 'K004wrongwrongwrongwrongwrongwr' } }, 'SignatureDoesNotMatch', 403],
    ['another signing region', { region: 'eu-central-003' }, 'SignatureDoesNotMatch', 403, 'wrong-region-is-malformed'],
    ['a bucket that is not there', { bucket: `no-such-bucket-${target.bucket}` }, 'NoSuchBucket', 404, 'other-buckets-are-denied'],
  ]
  for (const [what, changes, name, status, difference] of cases) {
    await scene(t, target, `${what}: ${name}`, async (t, { prefix, left }) => {
      const s3 = new S3({ ...target, ...changes })
      t.teardown(() => s3.close())
      const key = `${prefix}object`
      for (const request of [() => s3.put(key, 'x'), () => s3.get(key), () => s3.begin(key), () => s3.versions(prefix), () => s3.delete(key)]) {
        const found = await refusal(request())
        if (difference === undefined) t.match(found, { name, status })
        else isAsB2(t, target, difference, found, { name, status })
      }
      t.same(await left(), [])
    })
  }

  await scene(t, target, 'a clock that is far off: RequestTimeTooSkewed', async (t, { prefix }) => {
    const s3 = new S3(target, { systemClockOffset: 3_600_000 })
    t.teardown(() => s3.close())
    t.match(await refusal(s3.get(`${prefix}object`)), { name: 'RequestTimeTooSkewed', status: 403 })
  })
}
