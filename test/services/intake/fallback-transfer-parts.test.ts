import { readdir } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { bytes, sha256 } from '../../support/run/bytes.ts'
import { UNAVAILABLE } from '../../support/b2/scripted-b2.ts'
import type { ScriptedUpload } from '../../support/b2/scripted-b2.ts'
import { CORRELATION, KEY, PART, setTransferStage, storedLocally, UNAVAILABLE_LOGGED } from '../../support/intake/transfer-stage.ts'

const MIB = 1_048_576
/** Within the window, and beyond it. */
const SIZES = [PART + 1, 2 * PART, 4 * PART + 17]
const content = bytes(SIZES.at(-1)!)

async function until (condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

t.test('a large file goes in parts, with its receipt beside it', async t => {
  const stage = await setTransferStage(t)
  for (const size of SIZES) {
    const whole = content.subarray(0, size)
    const { account, receipt, failures } = stage.transfer(whole, { complete: async () => ({ a: 'b' }) })
    const found = await receipt
    t.match(found, { storage: 'b2', location: KEY, track: { size_bytes: size, sha256: sha256(whole), metadata: { a: 'b' } } })
    const upload = stage.b2.uploads.pop()!
    t.match(upload.object, { key: KEY, contentType: 'application/octet-stream', metadata: { filename: 'Song.mp3' }, context: { correlationId: CORRELATION } })
    t.same(upload.parts.map(part => part.byteLength), Array.from({ length: Math.ceil(size / PART) }, (_none, index) => Math.min(PART, size - index * PART)))
    t.ok(upload.content.equals(whole))
    t.match(stage.b2.receipts.splice(0), [{ track: found.track, correlationId: CORRELATION, signal: AbortSignal }])
    t.same([stage.b2.puts, stage.b2.forgotten, failures, upload.isAborted], [[], [], [], false])
    t.equal(account.heldBytes, 0)
  }
  t.same(await readdir(stage.dir), [])
})

t.test('what was acknowledged stays in memory until the file outgrows the window, and a fallback is possible until then', async t => {
  const stage = await setTransferStage(t)
  const source = new PassThrough({ highWaterMark: 8 * PART })
  const { account, intake, pool } = stage.transfer(source)
  const send = async (part: Buffer): Promise<void> => {
    const received = intake.received + part.byteLength
    source.write(part)
    await until(() => intake.received === received)
    for (let count = 0; count < 20; count++) await turn()
  }
  const lent: number[] = []
  pool.takeBack = (buffer, reuse) => { lent.push(reuse === true ? buffer.byteLength : 0) }
  await send(bytes(2 * PART))
  await send(bytes(MIB))
  const upload = stage.b2.uploads[0]!
  t.equal(upload.parts.length, 2)
  t.ok(upload.options.mayFallBack())
  t.ok(account.heldBytes > 2 * PART)
  lent.length = 0
  stage.b2.onPart = () => {}
  await send(bytes(MIB)) // of the third part, which nobody acknowledges
  await send(bytes(1))
  t.notOk(upload.options.mayFallBack())
  t.same(lent.splice(0), [PART, PART])
  upload.acknowledge(3, false)
  t.same(lent, [0], 'one that was sent twice is not used again')
})

const moments: [name: string, fail: (upload: ScriptedUpload, part: number, last: boolean) => void][] = [
  ['at its first part', upload => upload.fail()],
  ['at its second part', (upload, part) => { if (part === 2) upload.fail() }],
  ['when it was given all', (upload, _part, last) => { if (last) upload.fail() }],
]

for (const [name, onPart] of moments) {
  t.test(`where B2 fails ${name}, all goes to local storage`, async t => {
    const stage = await setTransferStage(t, { stores: { windowBytes: 4 * PART + MIB }, breaker: { threshold: SIZES.length } })
    for (const size of SIZES) {
      const whole = content.subarray(0, size)
      stage.b2.onPart = onPart
      const { account, receipt, failures } = stage.transfer(whole, { expectedBytes: size, complete: async () => ({ a: 'b' }) })
      const found = await receipt
      t.match(found, { storage: 'local', fallback_from_b2: true, fallback_reason: { error_code: 'service_unavailable' }, track: { size_bytes: size, sha256: sha256(whole), metadata: { a: 'b' } } })
      const stored = await storedLocally(stage)
      t.ok(stored.content.equals(whole))
      t.same(stored.receipt, { ...found, correlation_id: CORRELATION })
      t.same(failures, [UNAVAILABLE_LOGGED])
      t.same(stage.b2.forgotten, [])
      t.equal(account.heldBytes, 0)
      await stage.local.remove(KEY)
    }
    t.equal(stage.breaker.state, 'open', 'which the circuit counted')
  })
}

t.test('where it fails beyond the window, the client has to send it again, and the circuit opens at once', async t => {
  for (const mayBeStored of [true, false]) {
    const stage = await setTransferStage(t)
    let endReceipt = (): void => {}
    stage.b2.onReceipt = async () => await new Promise(resolve => { endReceipt = () => resolve(UNAVAILABLE) })
    stage.b2.onPart = (upload, part, last) => {
      if (mayBeStored ? last : part === 4) upload.fail({ ...UNAVAILABLE, mayBeStored })
      else upload.acknowledge(part)
    }
    const { account, receipt } = stage.transfer(content)
    await t.rejects(receipt, { name: 'UploadError', error_code: 'fallback_impossible', message: `B2 is unavailable; the file had outgrown the replay window of ${2 * PART + MIB} bytes.` })
    t.equal(stage.breaker.state, 'open')
    t.same(stage.b2.forgotten, [], 'its receipt is on its way, or there is nothing')
    endReceipt()
    await turn()
    t.same(stage.b2.forgotten, mayBeStored ? [[KEY, CORRELATION]] : [])
    t.same(await readdir(stage.dir), [])
    t.ok(account.heldBytes <= PART, 'but for what was gathered')
  }
})

t.test('an answer that comes after the failure takes nothing away from local storage', async t => {
  const stage = await setTransferStage(t)
  stage.b2.onPart = (upload, part) => {
    if (part < 3) return
    upload.fail()
    upload.acknowledge(1)
    upload.acknowledge(2)
  }
  t.match(await stage.transfer(content).receipt, { storage: 'local', track: { sha256: sha256(content) } })
  t.ok((await storedLocally(stage)).content.equals(content))
})

t.test('a receipt that comes to B2 after its file fell back is waited for', async t => {
  const stage = await setTransferStage(t)
  let endReceipt = (): void => {}
  stage.b2.onReceipt = async () => await new Promise(resolve => { endReceipt = () => resolve({ ok: true, key: '', firstTry: true }) })
  stage.b2.onPart = (upload, _part, last) => { if (last) upload.fail() }
  const { receipt } = stage.transfer(content.subarray(0, PART + 1))
  let isStored = false
  receipt.then(() => { isStored = true }, () => {})
  while (await stage.local.find(KEY) === undefined) await turn()
  t.notOk(isStored)
  endReceipt()
  t.match(await receipt, { storage: 'local' })
})

t.test('a source that fails ends the upload to B2, and nothing more is made of it', async t => {
  const stage = await setTransferStage(t)
  for (const [size, hangs] of [[PART + 100, false], [2 * PART + 100, true]] as const) {
    stage.b2.onPart = () => hangs ? new Promise(() => {}) : undefined
    const source = new PassThrough({ highWaterMark: 4 * PART })
    source.write(bytes(size))
    const { receipt, failures } = stage.transfer(source)
    await until(() => stage.b2.uploads.at(-1)?.parts.length === 1)
    source.destroy(new Error('broken'))
    await t.rejects(receipt, { name: 'SourceError', cause: { message: 'broken' } })
    t.ok(stage.b2.uploads.pop()!.isAborted)
    t.same([failures, stage.b2.forgotten, stage.b2.receipts], [[], [], []])
  }
  t.equal(stage.breaker.state, 'closed')
  t.same(await readdir(stage.dir), [])
})
