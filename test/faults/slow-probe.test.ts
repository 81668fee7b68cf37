import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator } from '../../emulator/index.ts'
import { CALM, fallBack, MIB } from '../support/promotion/promotion.ts'
import { connect } from '../support/clients/raw-http.ts'
import type { RawClient } from '../support/clients/raw-http.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'

// Who probes B2 while the circuit is half open, and for how long the others wait for it.

const RESET_MS = 100
const SMALL = 10_000

interface Stage { readonly b2: B2Emulator, readonly service: TestService }

/** A service whose circuit is open, and may be probed. */
async function setUp (t: Test, env: Record<string, string> = {}): Promise<Stage> {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...CALM, BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: String(RESET_MS), ...env })
  await open(t, { b2, service })
  return { b2, service }
}

async function open (t: Test, { b2, service }: Stage): Promise<void> {
  await fallBack(t, b2, service, SMALL)
  await wait(RESET_MS + 50)
}

/** Sends the beginning of a file of `size` bytes. */
async function begin (client: RawClient, size: number, content: Uint8Array): Promise<void> {
  await client.send(`PUT /uploads/slow.bin HTTP/1.1\r\nhost: x\r\ncontent-length: ${size}\r\n\r\n`)
  await client.send(content)
}

async function stores (t: Test, { b2, service }: Stage, storage: 'b2' | 'local'): Promise<void> {
  const content = bytes(SMALL)
  const { status, body } = await put(service, content)
  t.match({ status, storage: body.storage }, { status: 201, storage })
  if (storage === 'b2') t.equal(sha256(b2.read(body.location)!), sha256(content))
}

const breakerEvents = ({ service }: Stage): unknown[] => service.log.lines.filter(({ event }) => event?.startsWith('breaker.')).map(({ event }) => event)

t.test('the first part that B2 acknowledges closes the circuit, though the client has much more to send', async t => {
  const stage = await setUp(t)
  const content = bytes(20 * MIB)
  const client = await connect(t, stage.service)
  await begin(client, content.byteLength, content.subarray(0, 5 * MIB + 1))
  await stage.service.log.until(({ event }) => event === 'breaker.closed')
  await stores(t, stage, 'b2')
  t.same(breakerEvents(stage), ['breaker.open', 'breaker.half_open', 'breaker.closed'])
  await client.send(content.subarray(5 * MIB + 1))
  const { status, body } = (await client.answer())!
  t.equal(status, 201)
  t.equal(sha256(stage.b2.read(body.location)!), sha256(content))
})

t.test('a client whose first part has not come yet is no probe', async t => {
  const stage = await setUp(t)
  const client = await connect(t, stage.service)
  await begin(client, 20 * MIB, bytes(MIB))
  await wait(50)
  t.same(breakerEvents(stage), ['breaker.open'])
  await stores(t, stage, 'b2')
})

for (const [form, isChunked] of [['a chunked form', true], ['a form with a length', false]] as const) {
  t.test(`${form} that goes on after its file is no probe`, async t => {
    const stage = await setUp(t)
    const content = bytes(5_000)
    const client = await connect(t, stage.service)
    const start = Buffer.concat([
      Buffer.from('--b\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'), content, Buffer.from('\r\n--b--\r\n'),
    ])
    const chunk = (data: Uint8Array): Uint8Array => isChunked
      ? Buffer.concat([Buffer.from(`${data.byteLength.toString(16)}\r\n`), data, Buffer.from('\r\n')])
      : data
    const epilogue = Buffer.alloc(1_000, '-')
    await client.send('POST /uploads HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\n' +
      (isChunked ? 'transfer-encoding: chunked\r\n\r\n' : `content-length: ${start.byteLength + 2 * epilogue.byteLength}\r\n\r\n`))
    await client.send(chunk(start))
    await client.send(chunk(epilogue))
    await wait(50)
    t.same(breakerEvents(stage), ['breaker.open'])
    await stores(t, stage, 'b2')
    await client.send(chunk(epilogue))
    if (isChunked) await client.send('0\r\n\r\n')
    const { status, body } = (await client.answer())!
    t.match({ status, body }, { status: 201, body: { storage: 'b2', track: { sha256: sha256(content) } } })
  })
}

t.test('a large promotion gives its verdict with its first part', async t => {
  const stage = await setUp(t)
  const { b2, service } = stage
  // The small file that opened the circuit would give a verdict, too.
  t.match(await service.app.uploads.promote(), { promoted: 1 })
  t.equal(service.log.of('breaker.closed').length, 1)
  await fallBack(t, b2, service, 12 * MIB)
  await wait(RESET_MS + 50)
  const second = b2.fault({ operation: 'UploadPart', part: 2, delayMs: 60_000 })
  const promoting = service.app.uploads.promote()
  await service.log.until(() => service.log.of('breaker.closed').length === 2)
  await stores(t, stage, 'b2')
  second.cancel()
  await service.app.close()
  t.match(await promoting, { failed: 0 })
})

t.test('a probe that has no verdict in time lets another one try, and its own still counts', async t => {
  const stage = await setUp(t, { B2_STALL_TIMEOUT_MS: '60000' })
  const { b2, service } = stage
  const held = b2.fault({ operation: 'PutObject', delayMs: 6_000 })
  const slow = put(service, bytes(SMALL))
  await service.log.until(({ event }) => event === 'breaker.half_open')
  await stores(t, stage, 'local')
  await wait(5_000)
  await stores(t, stage, 'b2')
  t.match((await slow).body, { storage: 'b2' })
  t.equal(held.applied, 1)
  t.same(breakerEvents(stage), ['breaker.open', 'breaker.half_open', 'breaker.closed'])
})

t.test('what becomes of the rest of a probe counts as that of any other upload', async t => {
  const stage = await setUp(t)
  const { b2, service } = stage
  b2.fault({ operation: 'UploadPart', part: 2, status: 503, times: Infinity })
  const { body } = await put(service, bytes(12 * MIB))
  t.match(body, { storage: 'local', fallback_reason: { error_code: 'service_unavailable' } })
  t.same(breakerEvents(stage), ['breaker.open', 'breaker.half_open', 'breaker.closed', 'breaker.open'])
})

t.test('a probe whose client leaves after the first part has given its verdict', async t => {
  const stage = await setUp(t)
  const client = await connect(t, stage.service)
  await begin(client, 20 * MIB, bytes(5 * MIB + 1))
  await stage.service.log.until(({ event }) => event === 'breaker.closed')
  client.socket.destroy()
  await stage.service.log.until(({ event }) => event === 'upload.aborted')
  await stores(t, stage, 'b2')
  t.same(breakerEvents(stage), ['breaker.open', 'breaker.half_open', 'breaker.closed'])
})
