import { CreateBucketCommand, PutBucketVersioningCommand } from '@aws-sdk/client-s3'
import type { Test } from 'tap'
import type { Difference } from '../contract/differences.ts'
import { S3 } from '../contract/s3.ts'
import type { Target } from '../contract/target.ts'
import { SIZES } from './sizes.ts'
import { startSwift } from './swift.ts'

const OF_SWIFT: Difference[] = [
  'accepts-any-acl', 'accepts-checksums', 'completes-again', 'least-part-is-5-mib', 'lists-parts-of-what-is-complete', 'no-such-key-for-uploads',
  'refuses-long-metadata', 'unknown-key-is-bad-signature', 'wrong-region-is-malformed',
]
const OF_ITS_VERSIONS: Difference[] = [
  'delete-fails-beside-longer-keys', 'hides-what-is-not-there', 'no-such-key-for-versions', 'pages-of-versions-end-early', 'refuses-long-keys',
]
// Between a stall that is made and a machine that is busy.
const STALL_MS = 1_500

/** Swift with a bucket that keeps versions, as B2's do, and one that does not; it ends with the test. */
export async function swiftTargets (t: Test): Promise<Target[]> {
  const swift = await startSwift()
  t.teardown(async () => { await swift.stop() })
  const { endpoint, region, credentials, kill, revive, freeze, thaw } = swift
  const common = { endpoint, region, credentials, prefix: '', sizes: SIZES, outage: { stallMs: STALL_MS, kill, revive, freeze, thaw } }
  const targets: Target[] = [
    { ...common, name: 'Swift', bucket: 'versioned', differs: new Set([...OF_SWIFT, ...OF_ITS_VERSIONS]) },
    { ...common, name: 'Swift without versions', bucket: 'plain', differs: new Set([...OF_SWIFT, 'keeps-no-versions']) },
  ]
  for (const target of targets) {
    const s3 = new S3(target)
    await s3.client.send(new CreateBucketCommand({ Bucket: target.bucket }))
    if (!target.differs.has('keeps-no-versions')) {
      await s3.client.send(new PutBucketVersioningCommand({ Bucket: target.bucket, VersioningConfiguration: { Status: 'Enabled' } }))
    }
    s3.close()
  }
  return targets
}
