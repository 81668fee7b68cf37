import t from 'tap'
import { Notes } from '../../../../services/b2/cleanup/notes.ts'
import { uuidv7 } from '../../../../services/keys.ts'
import { settled } from '../../../support/faults/fault-matrix.ts'
import { clientTo, COMPANION, inPagesOfOne, KEY, setUp, workedOff } from '../../../support/b2/cleanup-stage.ts'

t.test('an object goes with all its versions and its companion, hidden ones too, and nothing else', async t => {
  const stage = await setUp(t)
  for (const key of [KEY, KEY, COMPANION, COMPANION, `${KEY}x`, 'tracks/son']) await stage.put(key)
  await stage.hide(KEY)
  await stage.put(KEY)
  const of = stage.start()
  await of.cleanup.note({ kind: 'object', key: KEY })
  await settled(stage.b2, () => stage.versions().length === 2)
  await workedOff(t, stage, of)
  t.same(stage.versions(), ['tracks/son', `${KEY}x`])
})

t.test('of doubles the newest stays, and what somebody hid is not shown again', async t => {
  const stage = await setUp(t)
  for (const key of [KEY, KEY, KEY, COMPANION, COMPANION, 'tracks/hidden', 'tracks/hidden']) await stage.put(key)
  await stage.hide('tracks/hidden')
  const newest = stage.b2.objects().map(({ versionId }) => versionId)
  const of = stage.start()
  of.cleanup.add({ kind: 'doubles', key: KEY })
  of.cleanup.add({ kind: 'doubles', key: 'tracks/hidden' })
  await settled(stage.b2, () => stage.versions().length <= 4)
  await workedOff(t, stage, of)
  t.same(stage.versions(), ['-tracks/hidden', 'tracks/hidden', KEY, COMPANION])
  t.same(stage.b2.objects().map(({ versionId }) => versionId), newest)
})

t.test('an unfinished upload goes by its id, and one that is gone already is no error', async t => {
  const stage = await setUp(t)
  const [kept, uploadId] = [await stage.begin(), await stage.begin()]
  const of = stage.start()
  for (const id of [uploadId, uploadId, 'no-such-upload']) of.cleanup.add({ kind: 'upload', key: KEY, uploadId: id })
  await settled(stage.b2, () => stage.b2.unfinishedUploads().length === 1)
  await workedOff(t, stage, of)
  t.match(stage.b2.unfinishedUploads(), [{ uploadId: kept }])
  t.same(of.log.lines, [])
})

t.test('uploads of unknown id go with their key, but not those of other keys, nor those begun later', async t => {
  const stage = await setUp(t)
  for (const key of [KEY, KEY, `${KEY}x`, 'tracks/promoted.mp3']) await stage.begin(key)
  const list = new Notes({ dir: stage.dir })
  await list.write({ id: uuidv7(), bucket: stage.b2.bucket, leftover: { kind: 'uploads', key: KEY }, notedAt: Date.now() })
  await list.write({ id: uuidv7(), bucket: stage.b2.bucket, leftover: { kind: 'uploads', key: 'tracks/promoted.mp3' }, notedAt: Date.now() - 3_600_000 })
  const of = stage.start()
  await settled(stage.b2, () => stage.b2.unfinishedUploads().length === 2)
  await workedOff(t, stage, of)
  t.same(stage.b2.unfinishedUploads().map(({ key }) => key), ['tracks/promoted.mp3', `${KEY}x`])
})

t.test('listings are read to their last page', async t => {
  const stage = await setUp(t)
  for (let count = 0; count < 3; count++) {
    for (const key of [KEY, COMPANION, 'tracks/doubled.mp3']) await stage.put(key)
    await stage.begin()
  }
  const of = stage.start({ client: inPagesOfOne(clientTo(t, stage.b2)) })
  await of.cleanup.note({ kind: 'object', key: KEY })
  of.cleanup.add({ kind: 'uploads', key: KEY })
  of.cleanup.add({ kind: 'doubles', key: 'tracks/doubled.mp3' })
  await settled(stage.b2, () => stage.versions().length === 1 && stage.b2.unfinishedUploads().length === 0)
  await workedOff(t, stage, of)
  t.same(stage.versions(), ['tracks/doubled.mp3'])
})

t.test('an application key that may not list removes an object version by version', async t => {
  const stage = await setUp(t)
  for (const key of [KEY, KEY, COMPANION]) await stage.put(key)
  const of = stage.start()
  stage.b2.fault({ operation: 'ListObjectVersions', status: 403, times: Infinity })
  await of.cleanup.note({ kind: 'object', key: KEY })
  await settled(stage.b2, () => stage.versions().length === 0)
  await workedOff(t, stage, of)
})
