import type { Test } from 'tap'
import { isAsB2 } from '../differences.ts'
import { refusal, scene } from '../scene.ts'
import type { Target } from '../target.ts'

/** How a bucket keeps what is overwritten and deleted. */
export async function versionProtocol (t: Test, target: Target): Promise<void> {
  if (target.differs.has('keeps-no-versions')) return await withoutVersions(t, target)

  await scene(t, target, 'every write of a key is kept, and each can be read and removed by its version id', async (t, { s3, prefix }) => {
    const key = `${prefix}object`
    const first = await s3.put(key, 'one')
    const second = await s3.put(key, 'two')
    t.equal((await s3.bytes(key)).toString(), 'two')
    t.equal((await s3.head(key)).VersionId, second.VersionId)
    t.equal(await (await s3.get(key, { VersionId: first.VersionId })).Body!.transformToString(), 'one')
    t.match(await s3.versions(prefix), [{ key, versionId: second.VersionId, isLatest: true }, { key, versionId: first.VersionId, isLatest: false }])
    t.equal((await s3.versions(prefix)).length, 2)
    await s3.delete(key, first.VersionId)
    t.equal((await s3.bytes(key)).toString(), 'two')
    await s3.delete(key, second.VersionId)
    t.same(await s3.all(prefix), [])
    t.match(await s3.delete(key, second.VersionId), { $metadata: { httpStatusCode: 204 } }, 'what is gone is no error')
    const gone = await refusal(s3.get(key, { VersionId: first.VersionId }))
    t.match(gone, { status: 404 })
    isAsB2(t, target, 'no-such-key-for-versions', gone, { name: 'NoSuchVersion' })
  })

  await scene(t, target, 'a DELETE without a version id hides, and removing the marker brings the object back', async (t, { s3, prefix }) => {
    const key = `${prefix}object`
    const { VersionId } = await s3.put(key, 'one')
    const marker = await s3.delete(key)
    t.match(marker, { DeleteMarker: true, VersionId: String })
    t.match(await refusal(s3.get(key)), { name: 'NoSuchKey', status: 404 })
    t.match(await refusal(s3.head(key)), { status: 404 })
    t.match(await s3.versions(prefix), [
      { versionId: VersionId, isHideMarker: false, isLatest: false }, { versionId: marker.VersionId, isHideMarker: true, isLatest: true },
    ])
    await s3.delete(key, marker.VersionId)
    t.equal((await s3.bytes(key)).toString(), 'one')
    await s3.delete(key, VersionId)
    t.same(await s3.all(prefix), [])
  })

  await scene(t, target, 'an object is removed, also beside one whose key goes on', async (t, { s3, prefix }) => {
    const { VersionId } = await s3.put(`${prefix}a`, 'a')
    await s3.put(`${prefix}a.receipt.json`, '{}')
    isAsB2(t, target, 'delete-fails-beside-longer-keys', await refusal(s3.delete(`${prefix}a`, VersionId)), { name: 'accepted' })
    t.same(await s3.all(prefix), ['a.receipt.json'], 'removed in any case')
    t.match(await s3.delete(`${prefix}a`, VersionId), { $metadata: { httpStatusCode: 204 } }, 'and another try says so')
  })

  await scene(t, target, 'versions are listed by key, and page by page', async (t, { s3, prefix }) => {
    for (const name of ['b', 'a', 'c', 'a', 'a.receipt.json']) await s3.put(prefix + name, name)
    await s3.delete(`${prefix}c`)
    const seen: string[] = []
    let from: object | undefined = {}
    while (from !== undefined) {
      const page: Awaited<ReturnType<typeof s3.versionsPage>> = await s3.versionsPage({ Prefix: prefix, MaxKeys: 2, ...from })
      const found = [...page.Versions ?? [], ...page.DeleteMarkers ?? []]
      t.ok(found.length <= 2)
      seen.push(...found.map(({ Key }) => Key!.slice(prefix.length)))
      from = page.IsTruncated === true ? { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker } : undefined
    }
    const all = ['a', 'a', 'a.receipt.json', 'b', 'c', 'c']
    isAsB2(t, target, 'pages-of-versions-end-early', { seen: seen.join() }, { seen: all.join() })
    const whole = await s3.versions(prefix)
    t.same(whole.map(({ key }) => key.slice(prefix.length)).sort(), all, 'all of them on one page')
  })
}

/** A bucket that has but the last write of a key. */
async function withoutVersions (t: Test, target: Target): Promise<void> {
  await scene(t, target, 'an object is listed as its only version, and removed by the id that it is listed with', async (t, { s3, prefix }) => {
    for (const name of ['b', 'a', 'a', 'a.receipt.json']) await s3.put(prefix + name, name)
    t.same(await s3.all(prefix), ['a', 'a.receipt.json', 'b'])
    for (const { key, versionId } of await s3.versions(prefix)) await s3.delete(key, versionId)
    t.same(await s3.all(prefix), [])
  })

  await scene(t, target, 'a DELETE removes for good', async (t, { s3, prefix }) => {
    await s3.put(`${prefix}object`, 'one')
    await s3.delete(`${prefix}object`)
    t.match(await refusal(s3.get(`${prefix}object`)), { name: 'NoSuchKey', status: 404 })
    t.same(await s3.all(prefix), [])
  })
}
