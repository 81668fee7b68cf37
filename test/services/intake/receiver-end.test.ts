import { PassThrough, Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { Receipt } from '../../../services/receipt.ts'
import { bytes } from '../../support/run/bytes.ts'
import { fakeClock } from '../../support/run/fake-clock.ts'
import { setReceiverStage } from '../../support/intake/receiver-stage.ts'
import { UNAVAILABLE } from '../../support/b2/scripted-b2.ts'

async function until (condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

t.test('why B2 did not take a file is logged, with what can be done', async t => {
  const stage = await setReceiverStage(t, { hasB2: true })
  stage.b2.onPut = async () => UNAVAILABLE
  await stage.receive(Readable.from([bytes(10)])).receipt
  const { error_code, detail } = UNAVAILABLE
  t.match(stage.lines, [
    { level: 'warn', event: 'b2.failed', error_code, detail, attempts: 4, b2_says: 'Unavailable.', hints: [/B2/] },
    { level: 'warn', event: 'upload.stored', storage: 'local', fallback_reason: { error_code, detail } },
  ])
  t.match(stage.b2.puts[0]!.object.context, { correlationId: 'the-correlation-id' })
})

t.test('what is said of an upload\'s length and type goes on to its stores', async t => {
  const stage = await setReceiverStage(t, { hasB2: true })
  await stage.receive(Readable.from([bytes(10)]), { contentType: 'audio/FLAC' }).receipt
  t.match(stage.b2.puts[0]!.object, { key: /^music\/[0-9a-f-]+$/, contentType: 'audio/flac', metadata: { filename: 'file' } })
  await t.rejects(stage.receive(Readable.from([bytes(10)]), { expectedBytes: 11, isExact: true }).receipt, { name: 'UploadError', error_code: 'malformed_upload' })
  await t.rejects(stage.receive(Readable.from([bytes(10)]), { expectedBytes: 9 }).receipt, { name: 'UploadError', error_code: 'malformed_upload' })
  t.match(await stage.receive(Readable.from([bytes(10)]), { expectedBytes: 11 }).receipt, { track: { size_bytes: 10 } })
})

t.test('a host that fails is logged, and its file is stored all the same', async t => {
  for (const onStored of [() => { throw new Error('of the host') }, async () => { throw new Error('of the host') }]) {
    const stage = await setReceiverStage(t, { onStored })
    const { location } = await stage.receive(Readable.from([bytes(10)])).receipt
    t.match(stage.lines, [{ event: 'upload.stored' }, { level: 'error', event: 'hook.failed', hook: 'onStored', location, err: { message: 'of the host' }, message: /onStored failed/ }])
  }
})

t.test('a host that has all the time it wants is waited for', async t => {
  let end = (): void => {}
  const stage = await setReceiverStage(t, { onStored: async () => await new Promise<void>(resolve => { end = resolve }) })
  const { receipt } = stage.receive(Readable.from([bytes(10)]))
  await until(() => stage.lines.length === 1)
  let isAnswered = false
  receipt.then(() => { isAnswered = true }, () => {})
  await turn()
  t.notOk(isAnswered)
  t.equal(stage.receiver.inFlight, 1)
  end()
  await receipt
  t.equal(stage.receiver.inFlight, 0)
})

t.test('at the end uploads are refused, those under way have their time, and what is left then is ended', async t => {
  const clock = fakeClock(t)
  const stage = await setReceiverStage(t)
  const [source, other] = [new PassThrough(), new PassThrough()]
  const good = stage.receive(source)
  const bad = stage.receive(other)
  const unopened = stage.receive(new PassThrough(), { open: () => new Promise(() => {}) }).receipt
  unopened.catch(() => {})
  await turn()
  const closed = stage.receiver.close(2_000)
  await t.rejects(stage.receive(Readable.from([])).receipt, { name: 'UploadError', error_code: 'shutting_down', message: /no new uploads/ })
  clock.advance(1_999)
  source.end(bytes(10))
  t.match(await good.receipt, { storage: 'local' })
  t.equal(stage.receiver.inFlight, 2)
  clock.advance(1)
  for (const receipt of [bad.receipt, unopened]) await t.rejects(receipt, { name: 'UploadError', error_code: 'shutting_down', message: /was not complete/ })
  await closed
  t.same([stage.receiver.inFlight, stage.account.heldBytes], [0, 0])
})

t.test('a file that is all there when the time is over goes to local storage, as B2 is not waited for', async t => {
  const clock = fakeClock(t)
  const stage = await setReceiverStage(t, { hasB2: true })
  stage.b2.onPut = async signal => await new Promise(resolve => signal?.addEventListener('abort', () => resolve(UNAVAILABLE)))
  const { receipt } = stage.receive(Readable.from([bytes(10)]))
  await until(() => stage.b2.puts.length === 1)
  const closed = stage.receiver.close(0)
  clock.advance(0)
  t.match(await receipt, { storage: 'local', fallback_reason: { error_code: 'timeout' } })
  await closed
})

for (const moment of ['is told', 'will be told']) {
  t.test(`a host that ${moment} of a file when the time is over has one second`, async t => {
    const clock = fakeClock(t)
    const told: Receipt[] = []
    const stage = await setReceiverStage(t, {
      hasB2: true,
      onStored: async receipt => {
        told.push(receipt)
        await new Promise(() => {})
      }
    })
    if (moment === 'will be told') stage.b2.onPut = async signal => await new Promise(resolve => signal?.addEventListener('abort', () => resolve(UNAVAILABLE)))
    const { receipt } = stage.receive(Readable.from([bytes(10)]))
    await until(() => stage.b2.puts.length === 1 && (moment === 'will be told' || told.length === 1))
    const closed = stage.receiver.close(500)
    clock.advance(500)
    await until(() => told.length === 1)
    await turn()
    clock.advance(999)
    await turn()
    t.equal(stage.receiver.inFlight, 1)
    clock.advance(1)
    const found = await receipt
    t.same(told, [found], 'it is stored, and that is answered')
    t.match(stage.lines.at(-1), { level: 'error', event: 'hook.failed', location: found.location, message: /was still running when the app had to close/ })
    await closed
    stage.pool.clear()
    await until(() => clock.timers === 0) // the disk may still be read
  })
}

t.test('a host that ends in that second leaves no timer', async t => {
  const clock = fakeClock(t)
  let end = (): void => {}
  const stage = await setReceiverStage(t, { onStored: async () => await new Promise<void>(resolve => { end = resolve }) })
  const { receipt } = stage.receive(Readable.from([bytes(10)]))
  await until(() => stage.lines.length === 1)
  await turn()
  const closed = stage.receiver.close(500)
  clock.advance(600)
  end()
  await receipt
  await closed
  stage.pool.clear()
  await until(() => clock.timers === 0) // the disk may still be read
  t.match(stage.lines, [{ event: 'upload.stored' }])
  t.equal(stage.lines.length, 1)
})
