import { readdir, writeFile } from 'node:fs/promises'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import { CreateMultipartUploadCommand, DeleteObjectCommand, PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator, B2EmulatorOptions } from '../emulator/index.ts'
import { B2Cleanup } from '../services/b2/cleanup.ts'
import type { B2CleanupOptions } from '../services/b2/cleanup.ts'
import { createB2Client } from '../services/b2/client.ts'
import type { B2Client } from '../services/b2/client.ts'
import { Leftovers } from '../services/b2/leftovers.ts'
import type { Leftover } from '../services/b2/leftovers.ts'
import { uuidv7 } from '../services/file-names.ts'
import { clientOf } from './support/emulator-client.ts'
import { settled } from './support/fault-matrix.ts'
import { createLogBook, startB2 } from './support/service.ts'
import type { LogBook } from './support/service.ts'

const KEY = 'tracks/song.mp3'
const COMPANION = `${KEY}.receipt.json`
const DAY = 86_400_000

interface Process { cleanup: B2Cleanup, log: LogBook }

interface Stage {
  b2: B2Emulator
  /** Where leftovers are written down. */
  dir: string
  /** A clean-up as a process of its own would have it, on `dir`. */
  start (options?: Partial<B2CleanupOptions>): Process
  /** Stores a version of an object. */
  put (key?: string): Promise<void>
  /** Hides an object, as a DELETE without a version does. */
  hide (key: string): Promise<void>
  /** Begins a multipart upload; gives its id. */
  begin (key?: string): Promise<string>
  putPart (key: string, uploadId: string, partNumber: number): Promise<void>
  /** Notes on disk. */
  noted (): Promise<object[]>
  /** Versions in B2, hide markers with a dash. */
  versions (): string[]
}

async function setUp (t: Test, options: B2EmulatorOptions = {}): Promise<Stage> {
  const dir = join(t.testdir(), '.leftovers')
  const b2 = await startB2(t, options)
  const plain = clientOf(b2)
  t.teardown(() => { plain.destroy() })
  const Bucket = b2.bucket
  return {
    b2,
    dir,
    start (own = {}) {
      const log = createLogBook()
      const write = (fields: object, msg: string): void => { log.stream.write(JSON.stringify({ ...fields, msg })) }
      const tools = { info: write, warn: write, error: write }
      const cleanup = new B2Cleanup({
        client: clientTo(t, b2), bucket: Bucket, log: tools, leftovers: new Leftovers({ dir, log: tools }), ...own,
      })
      t.teardown(async () => { await cleanup.close() })
      return { cleanup, log }
    },
    async put (Key = KEY) { await plain.send(new PutObjectCommand({ Bucket, Key, Body: 'x' })) },
    async hide (Key) { await plain.send(new DeleteObjectCommand({ Bucket, Key })) },
    async begin (Key = KEY) { return (await plain.send(new CreateMultipartUploadCommand({ Bucket, Key }))).UploadId! },
    async putPart (Key, UploadId, PartNumber) { await plain.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: 'x' })) },
    async noted () { return new Leftovers({ dir }).readAtStart().map(({ leftover }) => leftover) },
    versions: () => b2.versions().map(({ key, isHideMarker }) => isHideMarker ? `-${key}` : key),
  }
}

function clientTo (t: Test, { endpoint, region, bucket, credentials }: Pick<B2Emulator, 'endpoint' | 'region' | 'bucket' | 'credentials'>): B2Client {
  const client = createB2Client({
    endpoint, region, bucket, applicationKeyId: credentials.accessKeyId, applicationKey: credentials.secretAccessKey, maxAttempts: 1,
  }, new WeakMap())
  t.teardown(() => { client.destroy() })
  return client
}

/** A client of a B2 that is down for good: a process with it can note leftovers, and never removes one. */
async function deadClient (t: Test): Promise<B2Client> {
  const b2 = await startB2(t)
  await b2.refuseConnections()
  return clientTo(t, b2)
}

/** Resolves when no request is under way and nothing waits, on disk either. */
async function workedOff (t: Test, stage: Stage, of: Process): Promise<void> {
  await of.cleanup.close()
  t.same(await stage.noted(), [])
  t.same(of.log.of('b2.leftovers'), [])
}

/** A client whose listings have pages of one. */
function inPagesOfOne (client: B2Client): B2Client {
  return {
    ...client,
    async send (command, signal) {
      Object.assign(command.input, { MaxKeys: 1, MaxUploads: 1, MaxParts: 1 })
      return await client.send(command, signal)
    },
  }
}

interface Past {
  /** How long ago an upload was begun, in milliseconds. */
  begun (key: string): number
  /** How long ago a part of it came. */
  partCame (key: string, part: number): number
}

/** A client of a B2 where things happened longer ago. */
function withPast (client: B2Client, past: Past): B2Client {
  return {
    ...client,
    async send (command, signal) {
      const output = await client.send(command, signal)
      const { Uploads, Key, Parts } = output as { Uploads?: Array<{ Key: string, Initiated: Date }>, Key?: string, Parts?: Array<{ PartNumber: number, LastModified: Date }> }
      for (const upload of Uploads ?? []) upload.Initiated = new Date(Date.now() - past.begun(upload.Key))
      for (const part of Parts ?? []) part.LastModified = new Date(Date.now() - past.partCame(Key!, part.PartNumber))
      return output
    },
  }
}

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
  const list = new Leftovers({ dir: stage.dir })
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

t.test('what could not be removed is removed by the next process, though the first one was killed', async t => {
  const stage = await setUp(t)
  for (const key of [KEY, KEY, 'tracks/doubled.mp3', 'tracks/doubled.mp3']) await stage.put(key)
  const uploadId = await stage.begin()
  await stage.begin('tracks/stray.mp3')
  const leftovers: Leftover[] = [
    { kind: 'object', key: KEY }, { kind: 'doubles', key: 'tracks/doubled.mp3' },
    { kind: 'upload', key: KEY, uploadId }, { kind: 'uploads', key: 'tracks/stray.mp3' },
  ]
  let writtenDown = (): void => {}
  const all = new Promise<void>(resolve => { writtenDown = resolve })
  let count = 0
  const rename: typeof nodeFs.rename = async (from, to) => {
    await nodeFs.rename(from, to)
    if (++count === leftovers.length) writtenDown()
  }
  const killed = stage.start({ client: await deadClient(t), leftovers: new Leftovers({ dir: stage.dir, fs: { rename } }) })
  for (const leftover of leftovers) leftover.kind === 'object' ? await killed.cleanup.note(leftover) : killed.cleanup.add(leftover)
  await all
  t.same(new Set(await stage.noted()), new Set(leftovers))

  const next = stage.start()
  await settled(stage.b2, () => stage.versions().length === 1 && stage.b2.unfinishedUploads().length === 0)
  t.same(stage.versions(), ['tracks/doubled.mp3'])
  await workedOff(t, stage, next)
})

t.test('what can be removed at once is never written down', async t => {
  const stage = await setUp(t)
  await stage.put()
  await stage.put()
  const of = stage.start()
  of.cleanup.add({ kind: 'doubles', key: KEY })
  await settled(stage.b2, () => stage.versions().length === 1)
  await workedOff(t, stage, of)
  await t.rejects(readdir(stage.dir), { code: 'ENOENT' })
})

t.test('a note is on disk before B2 has answered anything', async t => {
  const stage = await setUp(t)
  stage.b2.fault({ action: 'hang', times: Infinity })
  const { cleanup } = stage.start()
  t.equal(await cleanup.note({ kind: 'object', key: KEY }), true)
  t.same(await stage.noted(), [{ kind: 'object', key: KEY }])
  t.equal(await cleanup.note({ kind: 'object', key: KEY }), true, 'asked for a second time')
})

t.test('the same wish again makes the list no longer', async t => {
  const stage = await setUp(t)
  const of = stage.start({ client: await deadClient(t) })
  await of.cleanup.note({ kind: 'object', key: 'tracks/first.mp3' })
  for (let count = 0; count < 10; count++) await of.cleanup.note({ kind: 'object', key: KEY })
  t.ok((await stage.noted()).length <= 3, 'one more may come where the first is under way')
})

t.test('two processes on one directory work it off together', async t => {
  const stage = await setUp(t)
  const keys = Array.from({ length: 12 }, (_, index) => `tracks/${index}.mp3`)
  for (const key of keys) await stage.put(key)
  const dead = await deadClient(t)
  const noting = [stage.start({ client: dead }), stage.start({ client: dead })]
  for (const [index, key] of keys.entries()) await noting[index % 2]!.cleanup.note({ kind: 'object', key })
  await Promise.all(noting.map(async ({ cleanup }) => { await cleanup.close() }))

  const both = [stage.start(), stage.start()]
  await settled(stage.b2, () => stage.versions().length === 0)
  for (const of of both) await workedOff(t, stage, of)
  for (const { log } of both) t.same(log.lines, [])
})

t.test('a process does what another one has noted, and does not do again what another has done', async t => {
  const stage = await setUp(t)
  await stage.put()
  const asked: unknown[] = []
  let ask = (): void => {}
  const other = stage.start({
    client: {
      ...await deadClient(t),
      async send ({ input }) {
        asked.push((input as { Prefix?: string }).Prefix)
        ask()
        throw Object.assign(new Error('down'), { code: 'ECONNREFUSED' })
      },
    },
  })
  const one = stage.start()
  await other.cleanup.note({ kind: 'doubles', key: 'tracks/doubled.mp3' })
  await other.cleanup.note({ kind: 'object', key: KEY })
  one.cleanup.retry()
  await settled(stage.b2, () => stage.versions().length === 0)
  await workedOff(t, stage, one)

  t.equal(other.cleanup.isForgotten(KEY), true)
  const last = new Promise<void>(resolve => { ask = () => { if (asked.at(-1) === 'tracks/last.mp3') resolve() } })
  await other.cleanup.note({ kind: 'object', key: 'tracks/last.mp3' })
  await last
  t.equal(other.cleanup.isForgotten(KEY), false)
  asked.length = 0
  const again = new Promise<void>(resolve => { ask = resolve })
  other.cleanup.retry()
  await again
  t.same(asked, ['tracks/last.mp3'])
})

t.test('what was noted for another bucket is left to those who use that', async t => {
  const stage = await setUp(t)
  await stage.put()
  const list = new Leftovers({ dir: stage.dir })
  await list.write({ id: uuidv7(), bucket: 'another-bucket', leftover: { kind: 'object', key: KEY }, notedAt: Date.now() })
  const of = stage.start()
  t.equal(of.cleanup.isForgotten(KEY), false)
  await list.write({ id: uuidv7(), bucket: 'another-bucket', leftover: { kind: 'object', key: KEY }, notedAt: Date.now() })
  await stage.put('tracks/last.mp3')
  for (const round of [1, 2]) {
    await of.cleanup.settle(KEY, false)
    await of.cleanup.note({ kind: 'object', key: 'tracks/last.mp3' })
    await settled(stage.b2, () => stage.versions().length === 1)
    t.same(stage.versions(), [KEY], `round ${round}`)
  }
  await of.cleanup.close()
  t.equal((await list.ids()).length, 2)
  t.same(of.log.lines, [])
})

t.test('broken files in the directory stop nothing', async t => {
  const stage = await setUp(t)
  await stage.put()
  const list = new Leftovers({ dir: stage.dir })
  await list.write({ id: uuidv7(), bucket: stage.b2.bucket, leftover: { kind: 'object', key: KEY }, notedAt: Date.now() })
  for (const name of [`${uuidv7()}.json`, 'x.json', '0']) await writeFile(join(stage.dir, name), '{"kind":')
  const of = stage.start()
  await settled(stage.b2, () => stage.versions().length === 0)
  await of.cleanup.close()
  t.equal((await readdir(stage.dir)).length, 3)
  t.equal(of.log.lines.length, 3, 'each is logged once')
})

t.test('where the directory can\'t be written memory has to do, and that is logged once', async t => {
  const stage = await setUp(t)
  await stage.put()
  const readOnly = async (): Promise<never> => { throw Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS' }) }
  const of = stage.start({ leftovers: new Leftovers({ dir: stage.dir, fs: { mkdir: readOnly, open: readOnly } }) })
  stage.b2.fault({ operation: 'ListObjectVersions', status: 503, times: 2 })
  t.equal(await of.cleanup.note({ kind: 'object', key: KEY }), false)
  await of.log.until(({ event }) => event === 'b2.cleanup_failed')
  of.cleanup.retry()
  await settled(stage.b2, () => stage.versions().length === 0)
  await workedOff(t, stage, of)
  t.match(of.log.of('b2.leftovers_unwritten'), [{ what: 'write', err: { code: 'EROFS' } }])
  t.equal(of.log.of('b2.leftovers_unwritten').length, 1)
})

t.test('a directory that can\'t be read is logged once, and what memory has is removed', async t => {
  const stage = await setUp(t)
  await stage.put()
  const forbidden = async (): Promise<never> => { throw Object.assign(new Error('EACCES'), { code: 'EACCES' }) }
  const of = stage.start({ leftovers: new Leftovers({ dir: stage.dir, fs: { readdir: forbidden as never } }) })
  await of.cleanup.note({ kind: 'object', key: KEY })
  await settled(stage.b2, () => stage.versions().length === 0)
  of.cleanup.retry()
  await of.cleanup.close()
  t.match(of.log.lines, [{ event: 'b2.leftovers_unwritten', what: 'read' }])
  t.equal(of.log.lines.length, 1)
})

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
  await new Leftovers({ dir: stage.dir }).write({ id: uuidv7(), bucket: stage.b2.bucket, leftover: { kind: 'object', key: KEY }, notedAt: Date.now() })
  let settledBySomebody = false
  const of = stage.start({ leftovers: new Leftovers({ dir: stage.dir, fs: { unlink: stuck } }), isWanted: async () => !settledBySomebody })
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
  const list = new Leftovers({ dir: stage.dir })
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
  const forgetful = stage.start({ leftovers: undefined as never, client: await deadClient(t) })
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
  const of = stage.start({ leftovers: new Leftovers({ dir: stage.dir, fs: { rename } }) })
  await of.cleanup.close()
  t.equal(await of.cleanup.note({ kind: 'object', key: KEY }), true)
  of.cleanup.add({ kind: 'doubles', key: KEY })
  await done
  t.same(new Set(await stage.noted()), new Set([{ kind: 'object', key: KEY }, { kind: 'doubles', key: KEY }]))
  t.same(stage.b2.requests, [])
})

t.test('unfinished uploads older than a day are swept, and only those under the prefix', async t => {
  const stage = await setUp(t)
  for (const key of ['elsewhere/old.mp3', 'tracks/old.mp3', 'tracks/old.mp3', 'tracks/young.mp3']) await stage.begin(key)
  for (const key of ['tracks/slow.mp3', 'tracks/stalled.mp3']) {
    const uploadId = await stage.begin(key)
    for (const part of [1, 2, 3]) await stage.putPart(key, uploadId, part)
  }
  const client = inPagesOfOne(withPast(clientTo(t, stage.b2), {
    begun: key => key === 'tracks/young.mp3' ? DAY / 2 : 2 * DAY,
    // The client sends a part now and then.
    partCame: (key, part) => key === 'tracks/slow.mp3' ? (3 - part) * DAY : 2 * DAY,
  }))
  const of = stage.start({ client })
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.same(stage.b2.unfinishedUploads().map(({ key }) => key), ['elsewhere/old.mp3', 'tracks/slow.mp3', 'tracks/young.mp3'])
  t.match(of.log.lines, [{ event: 'b2.swept', count: 3 }])
})

t.test('the sweep goes by B2\'s clock where this machine\'s is wrong', async t => {
  const stage = await setUp(t)
  await stage.begin()
  const client = withPast(clientTo(t, stage.b2), { begun: () => 2 * DAY, partCame: () => 0 })
  // B2 is two days behind, which the SDK knows by the Date header of its answers.
  const of = stage.start({ client: { ...client, config: { ...client.config, systemClockOffset: -2 * DAY } } })
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.equal(stage.b2.unfinishedUploads().length, 1)
})

t.test('the sweep looks again only after an hour, but at once where B2 failed', async t => {
  const stage = await setUp(t)
  const of = stage.start()
  const fault = stage.b2.fault({ status: 503, times: Infinity })
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.equal(stage.b2.requests.length, 2)
  t.match(of.log.lines, [{ event: 'b2.sweep_failed', error_code: 'service_unavailable' }])
  t.equal(of.log.lines.length, 1)
  fault.cancel()
  await Promise.all([of.cleanup.sweepUnfinished('tracks/', DAY), of.cleanup.sweepUnfinished('tracks/', DAY)])
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.equal(stage.b2.requests.length, 3)
  const { now } = performance
  t.intercept(performance, 'now', { value: () => now.call(performance) + 3_600_000 })
  await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.equal(stage.b2.requests.length, 4)
})

t.test('where the application key may not list there is no sweep, which is said once', async t => {
  const stage = await setUp(t, { capabilities: ['readFiles', 'writeFiles', 'deleteFiles'] })
  const of = stage.start()
  stage.b2.fault({ operation: 'ListMultipartUploads', status: 403, times: Infinity })
  for (let count = 0; count < 3; count++) await of.cleanup.sweepUnfinished('tracks/', DAY)
  t.equal(stage.b2.requests.length, 1)
  t.match(of.log.lines, [{ event: 'b2.sweep_refused', error_code: 'access_denied' }])
  t.equal(of.log.lines.length, 1)
})
