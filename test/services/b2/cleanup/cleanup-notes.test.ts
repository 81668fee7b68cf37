import { readdir, writeFile } from 'node:fs/promises'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Notes } from '../../../../services/b2/cleanup/notes.ts'
import type { Leftover } from '../../../../services/b2/cleanup/notes.ts'
import { uuidv7 } from '../../../../services/keys.ts'
import { settled } from '../../../support/faults/fault-matrix.ts'
import { deadClient, KEY, setUp, workedOff } from '../../../support/b2/cleanup-stage.ts'

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
  const killed = stage.start({ client: await deadClient(t), notes: new Notes({ dir: stage.dir, fs: { rename } }) })
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
  const list = new Notes({ dir: stage.dir })
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
  const list = new Notes({ dir: stage.dir })
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
  const of = stage.start({ notes: new Notes({ dir: stage.dir, fs: { mkdir: readOnly, open: readOnly } }) })
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
  const of = stage.start({ notes: new Notes({ dir: stage.dir, fs: { readdir: forbidden as never } }) })
  await of.cleanup.note({ kind: 'object', key: KEY })
  await settled(stage.b2, () => stage.versions().length === 0)
  of.cleanup.retry()
  await of.cleanup.close()
  t.match(of.log.lines, [{ event: 'b2.leftovers_unwritten', what: 'read' }])
  t.equal(of.log.lines.length, 1)
})
