import { PassThrough, Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { ClientGoneError, UploadError } from '../../../services/upload-errors.ts'
import { bytes, sha256 } from '../../support/run/bytes.ts'
import { fakeClock } from '../../support/run/fake-clock.ts'
import { PART } from '../../support/intake/intake-stage.ts'
import { setReceiverStage } from '../../support/intake/receiver-stage.ts'

const MIB = 1_048_576

async function until (condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

async function errorOf (t: Test, promise: Promise<unknown>): Promise<any> {
  return await promise.then(() => t.fail('it did not fail'), (error: unknown) => error)
}

t.test('a file is stored, told to the host, and logged once', async t => {
  const stage = await setReceiverStage(t)
  const content = bytes(3 * MIB)
  const { receipt } = stage.receive(Readable.from([content]), { filename: 'a/Song.MP3', contentType: 'audio/mpeg; x=y', complete: async () => ({ a: 'b' }) })
  const found = await receipt
  const { id } = found.track
  t.match(found, { storage: 'local', track: { key: `music/${id}.mp3`, filename: 'Song.MP3', content_type: 'audio/mpeg', size_bytes: 3 * MIB, sha256: sha256(content), metadata: { a: 'b' } } })
  t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
  t.same(stage.told, [found])
  t.match(stage.lines, [{ level: 'info', event: 'upload.stored', storage: 'local', size_bytes: 3 * MIB, duration_ms: Number }])
  t.ok(Number(stage.lines[0]!['duration_ms']) >= 0 && Number(stage.lines[0]!['duration_ms']) < 60_000)
  t.equal(stage.lines.length, 1)
  t.same([stage.receiver.inFlight, stage.account.heldBytes, stage.account.committedBytes], [0, 0, 0])
  t.match(stage.counted, [['stored', found, Number]])
})

t.test('memory is set aside for one part of a file that goes to local storage, and paid back at the end', async t => {
  for (const expectedBytes of [10 * MIB, PART, undefined]) {
    const stage = await setReceiverStage(t)
    const stream = new PassThrough({ highWaterMark: MIB })
    const { receipt } = stage.receive(stream, expectedBytes === undefined ? {} : { expectedBytes })
    stream.write(bytes(65_536))
    stream.write(bytes(1))
    await until(() => stage.account.heldBytes > 65_536)
    t.equal(stage.account.committedBytes, PART)
    t.equal(stage.receiver.inFlight, 1)
    stream.end()
    await receipt
    t.same([stage.account.heldBytes, stage.account.committedBytes], [0, 0])
  }
})

t.test('what a source fails with is answered as what it is', async t => {
  const cases: [name: string, cause: Error, explain: ((error: unknown) => Error) | undefined, expected: object][] = [
    ['nobody explains it', new Error('broken'), undefined, { name: 'UploadError', error_code: 'malformed_upload', cause: { message: 'broken' } }],
    ['it is an error for the client', new UploadError('too_many_files', 'Two.'), undefined, { error_code: 'too_many_files', message: 'Two.' }],
    ['it is explained', new Error('broken'), cause => new UploadError('missing_file', `It said: ${(cause as Error).message}`), { error_code: 'missing_file', message: 'It said: broken' }],
    ['the client has gone', new Error('broken'), () => new ClientGoneError('gone'), { name: 'ClientGoneError' }],
    ['it is explained as something else', new Error('broken'), () => new Error('still broken'), { error_code: 'malformed_upload', cause: { message: 'still broken' } }],
  ]
  for (const [name, cause, explain, expected] of cases) {
    const stage = await setReceiverStage(t)
    const stream = new PassThrough()
    stream.write(bytes(100))
    const { receipt, received } = stage.receive(stream, explain === undefined ? {} : { explain })
    await until(() => received() === 100)
    stream.destroy(cause)
    t.match(await errorOf(t, receipt), expected, name)
    const isGone = 'name' in expected && expected.name === 'ClientGoneError'
    t.match(stage.lines, [{ level: isGone ? 'info' : 'warn', event: isGone ? 'upload.aborted' : 'upload.failed', size_bytes: 100 }])
    t.match(stage.counted, [isGone ? ['aborted'] : ['failed', (expected as { error_code?: string }).error_code]])
    t.same([stage.told, stage.receiver.inFlight, stage.account.heldBytes, stage.account.committedBytes], [[], 0, 0, 0])
  }
})

t.test('an error of ours is answered as one, and logged with its cause', async t => {
  const stage = await setReceiverStage(t)
  const { receipt } = stage.receive(Readable.from([bytes(10)]), { complete: async () => { throw new TypeError('a bug') } })
  t.match(await errorOf(t, receipt), { name: 'UploadError', error_code: 'internal_error', cause: { message: 'a bug' } })
  t.match(stage.lines, [{ level: 'error', event: 'upload.failed', error_code: 'internal_error', err: { message: 'a bug' } }])
  const unopened = stage.receive(new PassThrough(), { open: async () => { throw new UploadError('missing_file', 'None.') } }).receipt
  t.match(await errorOf(t, unopened), { error_code: 'missing_file' })
  t.match(stage.lines[1], { event: 'upload.failed', error_code: 'missing_file', size_bytes: 0 })
  t.equal(stage.receiver.inFlight, 0)
})

t.test('no more uploads than are allowed are under way, and a refused one is logged as others', async t => {
  const stage = await setReceiverStage(t, { maxConcurrent: 2 })
  const streams = [new PassThrough(), new PassThrough()]
  const running = streams.map(stream => stage.receive(stream))
  t.equal(stage.receiver.inFlight, 2)
  t.match(await errorOf(t, stage.receive(Readable.from([])).receipt), { name: 'UploadError', error_code: 'overloaded', message: /^2 uploads/ })
  t.match(stage.lines, [{ event: 'upload.failed', error_code: 'overloaded', size_bytes: 0 }])
  t.equal(stage.receiver.inFlight, 2)
  streams[0]!.end()
  await running[0]!.receipt
  await stage.receive(Readable.from([])).receipt
  streams[1]!.end()
  await running[1]!.receipt

  stage.lines.length = 0
  stage.receiver.refuse(stage.context, new UploadError('file_too_large', 'It is.'), 12.4)
  t.match(stage.lines, [{ level: 'warn', event: 'upload.failed', error_code: 'file_too_large', size_bytes: 0, duration_ms: 12 }])
})

t.test('a client that sends nothing, or too little, is given up, also before its file begins', async t => {
  const clock = fakeClock(t)
  const stage = await setReceiverStage(t, { idleTimeoutMs: 5_000, minRate: 100 })
  const before = clock.timers
  const unopened = stage.receive(new PassThrough(), { open: () => new Promise(() => {}) }).receipt
  clock.advance(5_000)
  t.match(await errorOf(t, unopened), { name: 'UploadError', error_code: 'upload_stalled', message: /5000 ms/ })

  const idle = stage.receive(new PassThrough())
  await turn()
  clock.advance(5_000)
  t.match(await errorOf(t, idle.receipt), { error_code: 'upload_stalled', message: /^Nothing came for 5000 ms/ })

  let received = 0
  const slow = stage.receive(new PassThrough(), { received: () => received })
  await turn()
  for (let second = 1; second <= 5; second++) {
    received += 99
    clock.advance(1_000)
  }
  t.match(await errorOf(t, slow.receipt), { error_code: 'upload_stalled', message: /^Less than 100 bytes a second came over 5000 ms/ })

  const stream = new PassThrough()
  const good = stage.receive(stream)
  for (let second = 1; second <= 20; second++) {
    stream.write(bytes(101))
    await until(() => good.received() === 101 * second)
    clock.advance(1_000)
  }
  stream.end()
  t.match(await good.receipt, { track: { size_bytes: 2_020 } })
  t.match(stage.lines.at(-1), { event: 'upload.stored', duration_ms: 20_000 })
  const broken = stage.receive(new PassThrough(), { open: async () => { throw new ClientGoneError('gone') } }).receipt
  t.match(await errorOf(t, broken), { name: 'ClientGoneError' })
  stage.pool.clear()
  await until(() => clock.timers <= before) // the disk may still be read
})

t.test('one that is slow while others wait for its memory is ended with that', async t => {
  const clock = fakeClock(t)
  const stage = await setReceiverStage(t)
  const borrowers: { rate (): number | undefined, end (): void }[] = []
  stage.account.open = (open => borrower => {
    borrowers.push(borrower)
    return open.call(stage.account, borrower)
  })(stage.account.open)
  const stream = new PassThrough()
  const { receipt, received } = stage.receive(stream)
  await until(() => borrowers.length === 1)
  t.equal(borrowers[0]!.rate(), undefined, 'nothing is known of it yet')
  stream.write(bytes(100))
  await until(() => received() === 100)
  for (let count = 0; count < 5; count++) await turn() // until it reads on
  clock.advance(1_000)
  t.equal(borrowers[0]!.rate(), 100)
  borrowers[0]!.end()
  t.match(await errorOf(t, receipt), { error_code: 'overloaded' })
  t.equal(stage.account.heldBytes, 0)
})
