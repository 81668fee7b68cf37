import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import type { Test } from 'tap'
import { putObject, setB2Stage } from '../../../support/b2/stage.ts'
import type { B2Stage } from '../../../support/b2/stage.ts'
import { clientOf } from '../../../support/b2/emulator-client.ts'
import { bytes } from '../../../support/service/service.ts'

const KEY = 'tracks/song'
const COMPANION = 'tracks/song.receipt.json'

/** Two versions of object and companion, and others that only begin with the same name. */
async function fill ({ store }: Pick<B2Stage, 'store'>): Promise<void> {
  for (const key of [KEY, COMPANION, KEY, COMPANION, 'tracks/song.mp3', 'tracks/son']) await putObject(store, key, bytes(10))
}

/** What a DELETE without a version id does. */
async function hide (t: Test, { b2 }: B2Stage): Promise<void> {
  const client = clientOf(b2)
  t.teardown(() => client.destroy())
  await client.send(new DeleteObjectCommand({ Bucket: b2.bucket, Key: KEY }))
}

t.test('remove leaves no version of object and companion, and nothing else is touched', async t => {
  const stage = await setB2Stage(t)
  const { b2, store } = stage
  for (const hidden of [false, true]) {
    await fill(stage)
    if (hidden) await hide(t, stage)
    await store.remove(KEY)
    t.same([...new Set(b2.versions().map(({ key }) => key))], ['tracks/son', 'tracks/song.mp3'])
    const deletes = b2.requests.filter(({ operation, versionId }) => operation === 'DeleteObject' && versionId !== undefined)
    t.equal(deletes.length, hidden ? 9 : 4)
  }
  t.equal(await store.remove(KEY), undefined, 'nothing there is no error')
})

t.test('a key that may not list files removes what it sees, version after version', async t => {
  const stage = await setB2Stage(t, {}, { capabilities: ['readFiles', 'writeFiles', 'deleteFiles'] })
  const { b2, store } = stage
  await fill(stage)
  await store.remove(KEY)
  t.same(b2.versions().map(({ key }) => key), ['tracks/son', 'tracks/song.mp3'])
  await store.remove(KEY)
})

t.test('a key that may not delete files is told so', async t => {
  const stage = await setB2Stage(t, {}, { capabilities: ['readFiles', 'writeFiles', 'listFiles'] })
  await fill(stage)
  t.match(await stage.store.remove(KEY).catch((error: unknown) => error), { name: 'B2ReadError', error_code: 'access_denied' })
  t.equal(stage.b2.versions().length, 6)
})

t.test('a removal that is cut off brings nothing older to light', async t => {
  const stage = await setB2Stage(t)
  const { b2, store } = stage
  await fill(stage)
  const newest = b2.objects().find(({ key }) => key === KEY)
  b2.fault({ operation: 'DeleteObject', after: 1, status: 403 })
  await t.rejects(store.remove(KEY), { name: 'B2ReadError' })
  t.equal(b2.objects().find(({ key }) => key === KEY)?.versionId, newest?.versionId)

  await hide(t, stage)
  b2.fault({ operation: 'DeleteObject', after: 1, status: 403 })
  await t.rejects(store.remove(KEY), { name: 'B2ReadError' })
  t.equal(b2.objects().find(({ key }) => key === KEY), undefined)
  await store.remove(KEY)
  t.same(b2.versions().map(({ key }) => key), ['tracks/son', 'tracks/song.mp3'])
})

t.test('what somebody else removed meanwhile is removed', async t => {
  const stage = await setB2Stage(t)
  await fill(stage)
  stage.b2.fault({ operation: 'DeleteObject', status: 404, code: 'NoSuchVersion' })
  await stage.store.remove(KEY)
})

t.test('forget takes the companion, too', async t => {
  const stage = await setB2Stage(t)
  const { b2, store } = stage
  await fill(stage)
  const gone = b2.waitFor('response', () => b2.versions().length === 2)
  void store.forget(KEY)
  await gone
  t.same(b2.versions().map(({ key }) => key), ['tracks/son', 'tracks/song.mp3'])
})
