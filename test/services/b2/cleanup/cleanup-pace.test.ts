import nodeFs from 'node:fs/promises'
import t from 'tap'
import { Notes } from '../../../../services/b2/cleanup/notes.ts'
import type { Leftover } from '../../../../services/b2/cleanup/notes.ts'
import { uuidv7 } from '../../../../services/keys.ts'
import { settled } from '../../../support/faults/fault-matrix.ts'
import { deadClient, KEY, setUp, workedOff } from '../../../support/b2/cleanup-stage.ts'

t.test('one that B2 refuses is logged once, and keeps no other waiting', async t => {
  const stage = await setUp(t)
  const uploadId = await stage.begin('tracks/refused.mp3')
  await stage.put()
  const of = stage.start()
  const fault = stage.b2.fault({ operation: 'AbortMultipartUpload', key: 'tracks/refused.mp3', status: 403, times: Infinity })
  of.cleanup.add({ kind: 'upload', key: 'tracks/refused.mp3', uploadId })
  await of.cleanup.note({ kind: 'object', key: KEY })
  await settled(stage.b2, () => stage.versions().length === 0)
  while (fault.applied < 4) {
    const refused = stage.b2.waitFor('response', ({ operation }) => operation === 'AbortMultipartUpload')
    of.cleanup.retry()
    await refused
  }
  t.match(of.log.of('b2.cleanup_failed'), [{ kind: 'upload', key: 'tracks/refused.mp3', error_code: 'access_denied' }])
  t.equal(of.log.of('b2.cleanup_failed').length, 1)
  fault.cancel()
  of.cleanup.retry()
  await settled(stage.b2, () => stage.b2.unfinishedUploads().length === 0)
  await workedOff(t, stage, of)
})

t.test('what comes while a pass is under way is not kept waiting by what was refused in it', async t => {
  const stage = await setUp(t)
  const uploadId = await stage.begin('tracks/refused.mp3')
  const before = stage.b2.requests.length
  stage.b2.fault({ operation: 'AbortMultipartUpload', status: 403, times: Infinity })
  const of = stage.start()
  stage.b2.on('applied', ({ operation }) => {
    if (operation === 'ListObjectVersions' && stage.b2.requests.length === before + 2) of.cleanup.add({ kind: 'uploads', key: 'tracks/late.mp3' })
  })
  of.cleanup.add({ kind: 'upload', key: 'tracks/refused.mp3', uploadId })
  of.cleanup.add({ kind: 'doubles', key: KEY })
  await stage.b2.waitFor('response', ({ operation }) => operation === 'ListMultipartUploads')
  t.same(stage.b2.requests.slice(before).map(({ operation }) => operation), ['AbortMultipartUpload', 'ListObjectVersions', 'ListMultipartUploads'])
})

t.test('of many that B2 refuses a pass asks for few, and comes to all of them in time', async t => {
  const stage = await setUp(t)
  const list = new Notes({ dir: stage.dir })
  for (let count = 0; count < 25; count++) {
    await list.write({ id: uuidv7(), bucket: stage.b2.bucket, leftover: { kind: 'upload', key: KEY, uploadId: `no-such-upload-${count}` }, notedAt: Date.now() })
  }
  await list.write({ id: uuidv7(), bucket: stage.b2.bucket, leftover: { kind: 'object', key: 'tracks/last.mp3' }, notedAt: Date.now() })
  await stage.put('tracks/last.mp3')
  const before = stage.b2.requests.length
  stage.b2.fault({ operation: 'AbortMultipartUpload', status: 403, times: Infinity })
  const of = stage.start()
  const aborts = (): number => stage.b2.requests.slice(before).filter(({ operation }) => operation === 'AbortMultipartUpload').length
  await of.cleanup.close()
  t.equal(aborts(), 10)
  const next = stage.start()
  next.cleanup.retry()
  await settled(stage.b2, () => aborts() >= 30)
  next.cleanup.retry()
  await settled(stage.b2, () => stage.versions().length === 0)
})

t.test('a B2 out of reach is asked once a pass, each time for another one', async t => {
  const stage = await setUp(t)
  stage.b2.fault({ status: 503, times: Infinity })
  const of = stage.start()
  const keys = ['tracks/1.mp3', 'tracks/2.mp3', 'tracks/3.mp3']
  for (const key of keys) of.cleanup.add({ kind: 'doubles', key })
  const told = (): unknown[] => of.log.of('b2.cleanup_failed').map(({ key }) => key)
  for (const [index, key] of keys.entries()) {
    await of.log.until(line => line.event === 'b2.cleanup_failed' && line['key'] === key)
    t.same(told(), keys.slice(0, index + 1))
    of.cleanup.retry()
  }
  await of.cleanup.close()
  t.same((await stage.noted()).map(note => (note as Leftover).key).sort(), keys, 'also those that were not tried are written down')
})

t.test('it keeps at it by itself', async t => {
  const stage = await setUp(t)
  await stage.put()
  await stage.put()
  stage.b2.fault({ action: 'reset' })
  const of = stage.start()
  of.cleanup.add({ kind: 'doubles', key: KEY })
  await settled(stage.b2, () => stage.versions().length === 1)
  await workedOff(t, stage, of)
})

t.test('a call while a pass is under way makes another one follow at once', async t => {
  const stage = await setUp(t)
  await stage.put()
  const of = stage.start()
  // B2 is back, and this is said, while the last failure is still on its way.
  const failing = stage.b2.fault({ operation: 'ListObjectVersions', status: 503, delayMs: 50, times: Infinity })
  await of.cleanup.note({ kind: 'object', key: KEY })
  for (let round = 0; round < 5; round++) {
    await stage.b2.waitFor('request')
    if (round === 4) failing.cancel()
    of.cleanup.retry()
  }
  await settled(stage.b2, () => stage.versions().length === 0)
  await workedOff(t, stage, of)
})

t.test('close ends what hangs, writes down what is left, and tells it', async t => {
  const stage = await setUp(t)
  stage.b2.fault({ action: 'hang', times: Infinity })
  const of = stage.start()
  const hung = stage.b2.waitFor('fault')
  await of.cleanup.note({ kind: 'object', key: KEY })
  await hung
  of.cleanup.add({ kind: 'doubles', key: KEY })
  await of.cleanup.close()
  t.same(new Set(await stage.noted()), new Set([{ kind: 'object', key: KEY }, { kind: 'doubles', key: KEY }]))
  t.match(of.log.lines, [{ event: 'b2.leftovers', count: 2, leftovers: [{ key: KEY }, { key: KEY }], msg: /next start/ }])
  const forgetful = stage.start({ notes: undefined as never, client: await deadClient(t) })
  await forgetful.cleanup.note({ kind: 'object', key: KEY })
  await forgetful.cleanup.close()
  t.match(forgetful.log.of('b2.leftovers'), [{ count: 1, msg: /lifecycle rule/ }])
})

t.test('what comes after the end is written down', async t => {
  const stage = await setUp(t)
  let written = (): void => {}
  const done = new Promise<void>(resolve => { written = resolve })
  const rename: typeof nodeFs.rename = async (from, to) => {
    await nodeFs.rename(from, to)
    if ((await stage.noted()).length === 2) written()
  }
  const of = stage.start({ notes: new Notes({ dir: stage.dir, fs: { rename } }) })
  await of.cleanup.close()
  t.equal(await of.cleanup.note({ kind: 'object', key: KEY }), true)
  of.cleanup.add({ kind: 'doubles', key: KEY })
  await done
  t.same(new Set(await stage.noted()), new Set([{ kind: 'object', key: KEY }, { kind: 'doubles', key: KEY }]))
  t.same(stage.b2.requests, [])
})
