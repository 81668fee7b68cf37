import t from 'tap'
import { DELETION_HOLD_MS } from '../../../../services/b2/cleanup/cleanup.ts'
import { Notes } from '../../../../services/b2/cleanup/notes.ts'
import { uuidv7 } from '../../../../services/keys.ts'
import { settled } from '../../../support/faults/fault-matrix.ts'
import { COMPANION, deadClient, KEY, setUp, workedOff } from '../../../support/b2/cleanup-stage.ts'

t.test('a wanted key waits until it is not wanted any more', async t => {
  const stage = await setUp(t)
  for (const key of [KEY, COMPANION, 'tracks/other.mp3']) await stage.put(key)
  const wanted = new Set([KEY])
  const asked: string[] = []
  const of = stage.start({
    isWanted: async key => {
      asked.push(key)
      return wanted.has(key)
    },
  })
  for (const key of [KEY, COMPANION, 'tracks/other.mp3']) await of.cleanup.note({ kind: 'object', key })
  await settled(stage.b2, () => stage.versions().length === 2)
  t.same(stage.versions(), [KEY, COMPANION])
  t.equal(of.cleanup.isForgotten(KEY), false, 'for readers it is there')
  t.same([...new Set(asked)], [KEY, 'tracks/other.mp3'], 'a companion is wanted with its file')
  t.same(stage.b2.requests.slice(3).map(({ operation }) => operation), ['ListObjectVersions', 'DeleteObject'], 'B2 is not asked of what has to wait')
  wanted.clear()
  of.cleanup.retry()
  await settled(stage.b2, () => stage.versions().length === 0)
  await workedOff(t, stage, of)
})

t.test('what was deleted is removed, wanted or not, together with what is here of it', async t => {
  const stage = await setUp(t)
  for (const key of [KEY, COMPANION]) await stage.put(key)
  const removed: string[] = []
  const of = stage.start({ isWanted: async () => true, removeHere: async key => { removed.push(key) } })
  const noted = of.cleanup.note({ kind: 'object', key: KEY, deleted: true })
  t.equal(of.cleanup.isForgotten(KEY), true)
  await noted
  await settled(stage.b2, () => stage.versions().length === 0)
  await workedOff(t, stage, of)
  t.equal(removed[0], KEY)
})

t.test('a deletion of what may be promoted without a claim is remembered for ten minutes, over restarts', async t => {
  const stage = await setUp(t)
  const note = { kind: 'object', key: KEY, deleted: true, unclaimed: true } as const
  await stage.put()
  const first = stage.start()
  await first.cleanup.note(note)
  await settled(stage.b2, () => stage.versions().length === 0)
  await first.cleanup.close()
  t.same(await stage.noted(), [note])

  const second = stage.start()
  t.same([second.cleanup.isForgotten(KEY), second.cleanup.mayReturn(KEY)], [true, true])
  await stage.put() // the promotion that was under way
  second.cleanup.retry()
  await settled(stage.b2, () => stage.versions().length === 0)
  await second.cleanup.close()
  t.same(await stage.noted(), [note])

  const { now } = Date
  t.intercept(Date, 'now', { value: () => now.call(Date) + DELETION_HOLD_MS })
  await stage.put()
  await workedOff(t, stage, stage.start())
  t.same(stage.versions(), [])
})

t.test('a key that becomes wanted while B2 is asked is not removed', async t => {
  const stage = await setUp(t)
  await stage.put()
  let wanted = false
  stage.b2.on('applied', ({ operation }) => { if (operation === 'ListObjectVersions') wanted = true })
  const of = stage.start({ isWanted: async () => wanted })
  const answered = stage.b2.waitFor('response')
  await of.cleanup.note({ kind: 'object', key: KEY })
  await answered
  await of.cleanup.close()
  t.same(stage.versions(), [KEY])
  t.same(await stage.noted(), [{ kind: 'object', key: KEY }])
})

t.test('where it can\'t be told whether a key is wanted it is not removed, and others are', async t => {
  const stage = await setUp(t)
  for (const key of [KEY, 'tracks/other.mp3']) await stage.put(key)
  const of = stage.start({
    isWanted: async key => {
      if (key === KEY) throw new Error('the disk is broken')
      return false
    },
  })
  for (const key of [KEY, 'tracks/other.mp3']) await of.cleanup.note({ kind: 'object', key })
  await settled(stage.b2, () => stage.versions().length === 1)
  of.cleanup.retry()
  await of.cleanup.close()
  t.same(stage.versions(), [KEY])
  t.equal(of.log.of('b2.cleanup_failed').length, 1)
})

t.test('once a key is settled only its older versions go, whoever noted what and when', async t => {
  for (const where of ['this process', 'an earlier process', 'another process'] as const) {
    await t.test(where, async t => {
      const stage = await setUp(t)
      for (const key of [KEY, COMPANION]) await stage.put(key)
      let wanted = false
      const isWanted = async (): Promise<boolean> => wanted
      const early = stage.start({ client: await deadClient(t) })
      const noting = stage.start({ client: await deadClient(t) })
      for (const key of [KEY, COMPANION]) await noting.cleanup.note({ kind: 'object', key })
      if (where === 'an earlier process') await noting.cleanup.close()
      wanted = true
      // It has in memory what is settled by another one now.
      const other = stage.start({ isWanted })
      for (const key of [KEY, COMPANION]) await stage.put(key)
      const newest = stage.b2.objects().map(({ versionId }) => versionId)
      await (where === 'this process' ? noting : where === 'another process' ? early : stage.start({ client: await deadClient(t) })).cleanup.settle(KEY, false)
      wanted = false
      t.same(await stage.noted(), [{ kind: 'doubles', key: KEY }], 'no restart can bring it back')
      other.cleanup.retry()
      await settled(stage.b2, () => stage.versions().length === 2)
      await workedOff(t, stage, other)
      t.same(stage.b2.objects().map(({ versionId }) => versionId), newest)
    })
  }
})

t.test('a removal that is under way stops where its key is settled', async t => {
  const stage = await setUp(t)
  await stage.put()
  await stage.put()
  const newest = stage.b2.objects()
  const of = stage.start()
  let done: Promise<void> | undefined
  stage.b2.on('applied', ({ operation }) => {
    if (operation === 'ListObjectVersions') done ??= of.cleanup.settle(KEY, false)
  })
  await of.cleanup.note({ kind: 'object', key: KEY })
  await settled(stage.b2, () => stage.versions().length === 1)
  await done
  await workedOff(t, stage, of)
  t.same(stage.b2.objects(), newest)
})

t.test('settling a key of which nothing was noted removes doubles only where there may be some', async t => {
  const stage = await setUp(t)
  for (const key of [KEY, KEY, 'tracks/other.mp3', 'tracks/other.mp3']) await stage.put(key)
  const of = stage.start()
  const before = stage.b2.requests.length
  await of.cleanup.settle('tracks/other.mp3', false)
  await of.cleanup.settle(KEY, true)
  await settled(stage.b2, () => stage.versions().length === 3)
  await workedOff(t, stage, of)
  t.same(stage.b2.requests.slice(before).map(({ operation }) => operation), ['ListObjectVersions', 'DeleteObject'])
})

t.test('a key that is forgotten after it was settled is removed', async t => {
  const stage = await setUp(t)
  await stage.put()
  const of = stage.start()
  const done = of.cleanup.settle(KEY, false)
  const noted = of.cleanup.note({ kind: 'object', key: KEY })
  await Promise.all([done, noted])
  await settled(stage.b2, () => stage.versions().length === 0)
  await workedOff(t, stage, of)
})

t.test('settling fails where the disk does not let go of what was noted, and nothing is removed by this process', async t => {
  const stage = await setUp(t)
  await stage.put()
  const stuck = async (): Promise<never> => { throw Object.assign(new Error('EIO'), { code: 'EIO' }) }
  await new Notes({ dir: stage.dir }).write({ id: uuidv7(), bucket: stage.b2.bucket, leftover: { kind: 'object', key: KEY }, notedAt: Date.now() })
  let settledBySomebody = false
  const of = stage.start({ notes: new Notes({ dir: stage.dir, fs: { unlink: stuck } }), isWanted: async () => !settledBySomebody })
  await t.rejects(of.cleanup.settle(KEY, false), { code: 'EIO' })
  // Whoever hears of that leaves the local file, so that the key stays wanted.
  of.cleanup.retry()
  await of.cleanup.close()
  t.same(stage.versions(), [KEY])
  const next = stage.start({ isWanted: async () => !settledBySomebody })
  await next.cleanup.settle(KEY, false)
  settledBySomebody = true
  next.cleanup.retry()
  await workedOff(t, stage, next)
  t.same(stage.versions(), [KEY])
})

t.test('a key is forgotten from the call on until it is removed, also over a restart', async t => {
  const stage = await setUp(t)
  await stage.put()
  const first = stage.start({ client: await deadClient(t) })
  first.cleanup.add({ kind: 'doubles', key: 'tracks/doubled.mp3' })
  const noted = first.cleanup.note({ kind: 'object', key: KEY })
  t.equal(first.cleanup.isForgotten(KEY), true)
  t.equal(first.cleanup.isForgotten('tracks/doubled.mp3'), false)
  t.equal(first.cleanup.isForgotten('tracks/other.mp3'), false)
  await noted
  await first.cleanup.close()
  const next = stage.start()
  t.equal(next.cleanup.isForgotten(KEY), true, 'before anything else could run')
  await settled(stage.b2, () => stage.versions().length === 0)
  await workedOff(t, stage, next)
  t.equal(next.cleanup.isForgotten(KEY), false)
})
