import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { objectMetadata } from '../../../services/b2/object-receipt.ts'
import type { Track } from '../../../services/receipt.ts'
import { bytes, sha256 } from '../../support/run/bytes.ts'
import { UNAVAILABLE } from '../../support/b2/scripted-b2.ts'
import { CORRELATION, ID, KEY, setTransferStage, storedLocally, UNAVAILABLE_LOGGED } from '../../support/intake/transfer-stage.ts'

const MIB = 1_048_576
const PNG = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')

function trackOf (content: Buffer, rest: Partial<Track> = {}): Omit<Track, 'uploaded_at'> {
  return { id: ID, key: KEY, filename: 'Song.mp3', content_type: 'application/octet-stream', size_bytes: content.byteLength, sha256: sha256(content), metadata: {}, audio: null, ...rest }
}

const LONG = { a: 'a'.repeat(2_000) }
const REASON = { error_code: 'service_unavailable', detail: 'B2 is unavailable' }

t.test('without B2 all goes to local storage, with its receipt', async t => {
  const stage = await setTransferStage(t)
  for (const size of [0, 1, 3 * MIB + 1]) {
    const content = bytes(size)
    const { account, receipt, failures } = stage.transfer(content, { isLocalOnly: true, complete: async () => ({ a: 'b' }) })
    const found = await receipt
    const { uploaded_at } = found.track
    t.match(uploaded_at, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    t.same(found, { storage: 'local', location: join(stage.dir, KEY), track: { ...trackOf(content, { metadata: { a: 'b' } }), uploaded_at } })
    t.same(await storedLocally(stage), { content, receipt: { ...found, correlation_id: CORRELATION } })
    t.same(failures, [])
    t.equal(account.heldBytes, 0)
    await stage.local.remove(KEY)
  }
})

t.test('a type is what the bytes show, else what was declared, and one that is not accepted goes nowhere', async t => {
  const stage = await setTransferStage(t, { stores: { allowedTypes: ['image/*', 'text/plain'] } })
  const types: [Buffer, string | undefined, string][] = [
    [PNG, undefined, 'image/png'], [PNG, 'text/plain', 'image/png'], [Buffer.from('text'), 'text/plain', 'text/plain'],
  ]
  for (const [content, declaredType, type] of types) {
    t.match(await stage.transfer(content, { declaredType }).receipt, { track: { content_type: type } })
    t.equal(stage.b2.puts.at(-1)!.object.contentType, type)
  }
  for (const [declaredType, type] of [['audio/mpeg', 'audio/mpeg'], [undefined, 'application/octet-stream']] as const) {
    await t.rejects(stage.transfer(bytes(100), { declaredType }).receipt, { name: 'UploadError', error_code: 'unsupported_media_type', message: new RegExp(type), hints: [/image\/\*, text\/plain/] })
  }
  t.equal(stage.b2.puts.length, types.length)
  t.same(await readdir(stage.dir), [])
})

t.test('a small file is one request, with all that is known of it', async t => {
  const stage = await setTransferStage(t)
  const content = bytes(3_000)
  const { account, receipt, failures } = stage.transfer(content, { complete: async () => ({ a: 'b' }) })
  const { track, ...rest } = await receipt
  t.same(rest, { storage: 'b2', location: KEY })
  t.match(track, trackOf(content, { metadata: { a: 'b' } }))
  t.match(stage.b2.puts, [{ object: { key: KEY, contentType: 'application/octet-stream', metadata: objectMetadata(track), context: { correlationId: CORRELATION } }, content, sha256: sha256(content) }])
  t.equal(stage.b2.puts.length, 1)
  t.same([stage.b2.receipts, stage.b2.uploads, stage.b2.forgotten, failures], [[], [], [], []])
  t.same(await readdir(stage.dir), [])
  t.equal(account.heldBytes, 0)
})

t.test('a buffer is used again only where its request came through at the first try', async t => {
  for (const firstTry of [true, false]) {
    const stage = await setTransferStage(t)
    stage.b2.onPut = async () => ({ ok: true, key: KEY, firstTry })
    const { intake, pool, receipt } = stage.transfer(bytes(10))
    const buffers: unknown[] = []
    intake.takePart = (take => () => {
      const part = take.call(intake)
      buffers.push(part.buffer)
      return part
    })(intake.takePart)
    await receipt
    t.equal(pool.lend(65_536) === buffers[0], firstTry)
  }
})

t.test('what B2 does not take goes to local storage, and the circuit counts it', async t => {
  const stage = await setTransferStage(t)
  stage.b2.onPut = async () => ({ ...UNAVAILABLE, mayBeStored: true })
  const content = bytes(100_000)
  for (const [complete, receipts] of [[{}, 0], [LONG, 1]] as const) {
    const { receipt, failures } = stage.transfer(content, { complete: async () => complete })
    const found = await receipt
    t.match(found, { storage: 'local', fallback_from_b2: true, fallback_reason: REASON, track: trackOf(content, { metadata: complete }) })
    t.same(await storedLocally(stage), { content, receipt: { ...found, correlation_id: CORRELATION } })
    t.same(failures, [UNAVAILABLE_LOGGED])
    t.equal(stage.b2.receipts.length, receipts)
    await stage.local.remove(KEY)
  }
  t.equal(stage.breaker.state, 'open')
  t.same(stage.b2.forgotten, [], 'what B2 may have is a double of what is known of')
})

t.test('a success of B2 ends a row of failures', async t => {
  const stage = await setTransferStage(t)
  for (const onPut of [async () => UNAVAILABLE, async () => ({ ok: true, key: KEY, firstTry: true } as const), async () => UNAVAILABLE]) {
    stage.b2.onPut = onPut
    await stage.transfer(bytes(10)).receipt
    await stage.local.remove(KEY)
  }
  t.equal(stage.breaker.state, 'closed')
})

t.test('a receipt that is too large for the metadata goes beside the file, and is kept locally where B2 does not take it', async t => {
  const stage = await setTransferStage(t)
  const complete = async (): Promise<Record<string, string>> => LONG
  const stored = await stage.transfer(bytes(10), { complete }).receipt
  t.same(stage.b2.receipts, [{ track: stored.track, correlationId: CORRELATION, signal: stage.b2.puts[0]!.signal }])
  t.same(await readdir(stage.dir), [])

  stage.b2.onReceipt = async () => UNAVAILABLE
  const kept = await stage.transfer(bytes(10), { complete }).receipt
  t.equal(kept.storage, 'b2')
  t.same(await stage.local.find(KEY), { kind: 'receipt', receipt: kept, correlationId: CORRELATION, setAside: undefined })

  await stage.breakDisk()
  await t.rejects(stage.transfer(bytes(10), { complete }).receipt,
    { name: 'UploadError', error_code: 'storage_unavailable', message: /^B2: service_unavailable \(B2 is unavailable\); local storage: io_error / })
  t.same(stage.b2.forgotten, [[KEY, CORRELATION]], 'a file without its receipt must not stay')
})

t.test('where neither store takes it, nothing that B2 may have of it stays', async t => {
  const cases: [mayBeStored: boolean, fields: Record<string, string>, forgotten: boolean][] = [[false, {}, false], [true, {}, true], [false, LONG, true]]
  for (const [mayBeStored, fields, forgotten] of cases) {
    const stage = await setTransferStage(t)
    await stage.breakDisk()
    let endReceipt = (): void => {}
    const receiptEnds = new Promise<void>(resolve => { endReceipt = resolve })
    stage.b2.onPut = async () => ({ ...UNAVAILABLE, mayBeStored })
    stage.b2.onReceipt = async () => {
      await receiptEnds
      return UNAVAILABLE
    }
    const { account, receipt } = stage.transfer(bytes(10), { complete: async () => fields })
    await t.rejects(receipt, { error_code: 'storage_unavailable', message: /^B2: service_unavailable \(B2 is unavailable\); local storage: io_error / })
    t.equal(account.heldBytes, 0)
    if (fields === LONG) t.same(stage.b2.forgotten, [], 'its receipt is still on its way')
    endReceipt()
    await new Promise(resolve => setImmediate(resolve))
    t.same(stage.b2.forgotten, forgotten ? [[KEY, CORRELATION]] : [])
  }
})

t.test('without B2 a failure is that of the disk alone', async t => {
  const stage = await setTransferStage(t)
  await stage.breakDisk()
  await t.rejects(stage.transfer(bytes(10), { isLocalOnly: true }).receipt, { error_code: 'storage_unavailable', message: /^local storage: io_error \(/, cause: { name: 'LocalStoreError' } })
})

t.test('a source or a form that fails is no file of either store', async t => {
  const stage = await setTransferStage(t)
  for (const isLocalOnly of [true, false]) {
    const broken = async (): Promise<never> => { throw new Error('broken form') }
    await t.rejects(stage.transfer(bytes(10), { isLocalOnly, complete: broken }).receipt, { message: 'broken form' })
    const source = new PassThrough()
    source.write(bytes(100_000))
    const { receipt } = stage.transfer(source, { isLocalOnly })
    setImmediate(() => source.destroy(new Error('broken')))
    await t.rejects(receipt, { name: 'SourceError' })
  }
  t.same([stage.b2.puts, stage.b2.forgotten], [[], []])
  t.same(await readdir(join(stage.dir, 'tracks')), [])
  t.equal(stage.breaker.state, 'closed')
})
