import { mkdirSync, rmSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { keyedUuid, uuidv7 } from '../../../../services/keys.ts'
import { createPending } from '../../../../services/local/waiting/pending.ts'
import { createReceipts } from '../../../../services/local/receipts.ts'
import { Tally } from '../../../../services/local/waiting/tally.ts'
import { all, newReceipt, noHeartbeat, put, recordingLog, refusing } from '../../../fixtures/local-files.ts'

function build (t: Test, isClosed: (path: string) => boolean = () => false) {
  const root = join(t.testdir(), 'storage')
  const denied = Object.assign(new Error('no'), { code: 'EACCES', syscall: 'open' })
  const fs = { ...nodeFs, ...refusing(isClosed, denied, 'opendir', 'readFile') }
  const log = recordingLog()
  const receipts = createReceipts({ fs, root, heartbeat: noHeartbeat, makeDirectory: async () => {}, log })
  const tally = new Tally()
  const { files } = createPending({ fs, root, receipts, tally, log })
  return { root, log, receipts, tally, pending: async () => await all(files()) }
}

/** The key of the file that was uploaded as the `order`th. */
function keyOf (order: number, directory = 'tracks/'): string {
  return `${directory}0000000${order}-ac96-774b-bcce-b302099a8057.mp3`
}

function putFile (root: string, key: string): void {
  put(root, key, 'data')
  put(root, `${key}.receipt.json`, JSON.stringify(newReceipt(key)))
}

t.test('whole files are pending, oldest first, wherever they lie', async t => {
  const { root, pending } = build(t)
  t.same(await pending(), [], 'also before there is a directory')
  const keys = [keyOf(1, 'z/'), keyOf(2), keyOf(3, ''), keyOf(4, 'a/b/'), keyOf(5), keyOf(6, 'z/')]
  for (const key of keys.toReversed()) putFile(root, key)
  t.same(await pending(), keys.map(key => ({ key, kind: 'file', setAside: undefined })))
  rmSync(root, { recursive: true })
  t.same(await pending(), [])
})

t.test('names without a time are put in order by their receipts', async t => {
  const { root, tally, pending } = build(t)
  const hour = 3_600_000
  const start = Date.parse('2026-02-03T00:00:00Z')
  const keys = Array.from({ length: 8 }, (_, index) => `tracks/${index % 2 === 0 ? uuidv7(start + index * hour) : keyedUuid('', String(index))}.mp3`)
  for (const [index, key] of keys.entries()) {
    put(root, key, 'data')
    const receipt = newReceipt(key)
    put(root, `${key}.receipt.json`, JSON.stringify({ ...receipt, track: { ...receipt.track, uploaded_at: new Date(start + index * hour).toISOString() } }))
  }
  const damaged = `tracks/${keyedUuid('', 'x')}`
  put(root, damaged, 'data')
  put(root, `${damaged}.receipt.json`, '{"half')
  t.same((await pending()).map(({ key }) => key), [...keys, damaged])
  for (const [index, key] of keys.entries()) {
    t.equal(tally.waiting.oldest, start + index * hour)
    tally.remove(key, 0)
  }
  t.ok(Date.now() - tally.waiting.oldest! < 0, 'of a damaged one it is not known')
  tally.remove(damaged, 0)
  const before = Date.now()
  tally.add(keys[1]!, 0)
  t.ok(tally.waiting.oldest! >= before, 'what comes now is as old as it is here')
})

t.test('a receipt that lies alone is pending where it was kept for an object in B2', async t => {
  const { root, pending } = build(t)
  const [kept, lost] = [keyOf(1), keyOf(2)]
  put(root, `${kept}.receipt.json`, JSON.stringify(newReceipt(kept, 'b2')))
  put(root, `${lost}.receipt.json`, JSON.stringify(newReceipt(lost)))
  t.same(await pending(), [{ key: kept, kind: 'receipt', setAside: undefined }])
})

t.test('what is no receipt of ours, and what lies alone, is not', async t => {
  const { root, pending } = build(t)
  put(root, keyOf(1), 'data')
  put(root, `${keyOf(2)}.set-aside.json`, '{}')
  put(root, `tracks/.${keyOf(3, '')}.part`)
  put(root, 'tracks/song.mp3')
  put(root, 'tracks/song.mp3.receipt.json', JSON.stringify(newReceipt('tracks/song.mp3')))
  t.same(await pending(), [])
})

t.test('what has a note is set aside, for the reason in it', async t => {
  const { root, pending } = build(t)
  const [file, kept] = [keyOf(1), keyOf(2)]
  putFile(root, file)
  put(root, `${kept}.receipt.json`, JSON.stringify(newReceipt(kept, 'b2')))
  put(root, `${file}.set-aside.json`, '{"reason":"its bytes changed"}')
  put(root, `${kept}.set-aside.json`, '{"reason":"so is its object"}')
  t.same(await pending(), [
    { key: file, kind: 'file', setAside: 'its bytes changed' },
    { key: kept, kind: 'receipt', setAside: 'so is its object' },
  ])
  rmSync(join(root, `${file}.set-aside.json`))
  t.same((await pending()).map(({ setAside }) => setAside), [undefined, 'so is its object'])
})

t.test('a receipt of a whole file is not read until it was in trouble, and then until it is repaired', async t => {
  const { root, receipts, pending } = build(t)
  const key = keyOf(1)
  put(root, key, 'data')
  put(root, `${key}.receipt.json`, '{"half')
  t.same(await pending(), [{ key, kind: 'file', setAside: undefined }])
  await t.rejects(receipts.find(key))
  t.match(await pending(), [{ key, kind: 'file', setAside: /damaged/ }])
  put(root, `${key}.set-aside.json`, '{"reason":"its bytes changed"}')
  t.match(await pending(), [{ key, kind: 'file', setAside: 'its bytes changed' }])
  rmSync(join(root, `${key}.set-aside.json`))
  putFile(root, key)
  t.same(await pending(), [{ key, kind: 'file', setAside: undefined }])
  t.equal(receipts.trouble(key), undefined)
})

t.test('a receipt that lies alone and can\'t be read counts as set aside', async t => {
  let isClosed = true
  const { root, pending } = build(t, path => isClosed && path.endsWith('.receipt.json'))
  const key = keyOf(1)
  put(root, `${key}.receipt.json`, JSON.stringify(newReceipt(key, 'b2')))
  t.match(await pending(), [{ key, kind: 'receipt', setAside: /permission was denied/ }])
  isClosed = false
  t.same(await pending(), [{ key, kind: 'receipt', setAside: undefined }])
})

t.test('so does one whose file can\'t be looked for', async t => {
  const root = join(t.testdir(), 'storage')
  const fs = { ...nodeFs, lstat: async () => { throw Object.assign(new Error('no'), { code: 'EIO' }) } } as unknown as typeof nodeFs
  const log = recordingLog()
  const receipts = createReceipts({ fs, root, heartbeat: noHeartbeat, makeDirectory: async () => {}, log })
  const key = keyOf(1)
  put(root, `${key}.receipt.json`, JSON.stringify(newReceipt(key, 'b2')))
  t.match(await all(createPending({ fs, root, receipts, tally: new Tally(), log }).files()), [{ key, kind: 'receipt', setAside: /cannot be read/ }])
})

t.test('a directory that may not be read is passed over and told once; the store\'s own is an error', async t => {
  let closed: string[] = []
  const { root, log, pending } = build(t, path => closed.some(name => path.endsWith(name)))
  const key = keyOf(1)
  putFile(root, key)
  for (const name of ['lost+found', 'other']) mkdirSync(join(root, name))
  closed = ['lost+found']
  for (let time = 0; time < 2; time++) {
    t.same(await pending(), [{ key, kind: 'file', setAside: undefined }])
    t.match(log.lines, [{ level: 'warn', facts: { err: { code: 'EACCES' } } }])
    t.equal(log.lines.length, 1)
  }
  closed = ['lost+found', 'other']
  await pending()
  t.equal(log.lines.length, 2, 'another one is told, too')
  closed = ['storage']
  await t.rejects(pending(), { name: 'LocalStoreError', error_code: 'permission_denied' })
})

t.test('a directory that is too long to be remembered is read again and again: all come once, in order', async t => {
  for (const batchFiles of [1, 2, 3, 7, 1_000]) {
    const { root, receipts, log } = build(t)
    const tally = new Tally()
    const keys = Array.from({ length: 40 }, (_, index) => `${index % 3 === 0 ? 'tracks/' : 'a/b/'}000000${String(index + 10)}-ac96-774b-bcce-b302099a8057.mp3`)
    for (const [index, key] of keys.entries()) {
      if (index % 10 === 4) put(root, `${key}.receipt.json`, JSON.stringify(newReceipt(key, 'b2')))
      else putFile(root, key)
      if (index % 10 === 7) put(root, `${key}.set-aside.json`, '{"reason":"its bytes changed"}')
      put(root, key.replace('-ac96-', '-ac97-'), 'without a receipt')
    }
    const pending = createPending({ fs: nodeFs, root, receipts, tally, log, batchFiles })
    t.same(await all(pending.files()), keys.map((key, index) => ({
      key,
      kind: index % 10 === 4 ? 'receipt' : 'file',
      setAside: index % 10 === 7 ? 'its bytes changed' : undefined,
    })), `with ${batchFiles} in memory`)
    await pending.count()
    t.match(tally.waiting, { files: 40, oldest: 0x10 * 65_536 + 0xac96 })
  }
})

t.test('what comes while it is read is for the next time, and a signal ends it', async t => {
  const { root, receipts, log } = build(t)
  const pending = createPending({ fs: nodeFs, root, receipts, tally: new Tally(), log, batchFiles: 2 })
  const keys = [1, 2, 3, 4, 5].map(order => keyOf(order))
  for (const key of keys) putFile(root, key)
  const found: string[] = []
  for await (const { key } of pending.files()) {
    found.push(key)
    putFile(root, keyOf(9))
  }
  t.same(found, keys)
  await t.rejects(all(pending.files(AbortSignal.abort())), { name: 'AbortError' })
  await t.rejects(pending.count(AbortSignal.abort()), { name: 'AbortError' })
})
