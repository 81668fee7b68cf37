import { readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import type { B2Emulator } from '../../emulator/index.ts'
import { KIB, MIB } from '../support/faults/fault-matrix.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'

const PUT = 100 * KIB
const RESET_MS = 100

async function setUp (t: Parameters<typeof startB2>[0], env: Record<string, string> = {}) {
  const b2 = await startB2(t)
  const service = await startService(t, {
    ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_MAX_ATTEMPTS: '1', BREAKER_THRESHOLD: '3', BREAKER_RESET_MS: '60000', ...env,
  })
  const upload = async (size = PUT) => {
    const content = bytes(size)
    const answer = await put(service, content)
    const stored = answer.body.storage === 'b2' ? b2.read(answer.body.location)! : await readFile(answer.body.location)
    t.equal(sha256(stored), sha256(content), `${answer.body.storage} has the bytes`)
    return answer.body
  }
  return { b2, service, upload }
}

const writes = (b2: B2Emulator): number => b2.requests.filter(({ method }) => method === 'PUT' || method === 'POST').length

t.test('uploads that fail in a row open the circuit; then B2 is left alone and the reason is given', async t => {
  const { b2, service, upload } = await setUp(t)
  b2.fault({ operation: 'PutObject', status: 503, times: Infinity })
  for (let count = 1; count <= 3; count++) {
    t.same(service.log.of('breaker.open'), [])
    t.match(await upload(), { storage: 'local', fallback_reason: { error_code: 'service_unavailable' } })
  }
  t.match(service.log.of('breaker.open'), [{ error_code: 'service_unavailable', level: 40 }])
  b2.clearFaults()
  const before = b2.requests.length
  for (const size of [PUT, 12 * MIB, 40 * MIB]) {
    t.match(await upload(size), {
      storage: 'local', fallback_from_b2: true, fallback_reason: { error_code: 'service_unavailable', detail: 'B2 is unavailable: HTTP status 503' },
    })
  }
  t.equal(b2.requests.length, before, 'not one request')
  t.equal(service.log.of('b2.failed').length, 6, 'each fallback is told')
})

t.test('retries that win keep the circuit closed', async t => {
  const { b2, service, upload } = await setUp(t, { B2_MAX_ATTEMPTS: '2', BREAKER_THRESHOLD: '1' })
  b2.fault({ operation: 'PutObject', status: 503 })
  t.match(await upload(), { storage: 'b2' })
  t.same(service.log.of('breaker.open'), [])
})

for (const { name, fault, code } of [
  { name: 'wrong keys', fault: { status: 403, code: 'SignatureDoesNotMatch' }, code: 'auth_error' },
  { name: 'a missing capability', fault: { status: 403 }, code: 'access_denied' },
  { name: 'a missing bucket', fault: { status: 404, code: 'NoSuchBucket' }, code: 'bucket_not_found' },
  { name: 'a cap', fault: { status: 403, message: 'transaction cap exceeded' }, code: 'quota_exceeded' },
]) {
  t.test(`${name} opens the circuit at once`, async t => {
    const { b2, service, upload } = await setUp(t)
    b2.fault({ operation: 'PutObject', ...fault, times: Infinity })
    t.match(await upload(), { fallback_reason: { error_code: code } })
    t.match(service.log.of('breaker.open'), [{ error_code: code }])
    const before = b2.requests.length
    t.match(await upload(), { storage: 'local', fallback_reason: { error_code: code } })
    t.equal(b2.requests.length, before)
  })
}

t.test('a key that may only write is enough', async t => {
  const b2 = await startB2(t, { capabilities: ['writeFiles'] })
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', BREAKER_THRESHOLD: '1' })
  for (const size of [PUT, 12 * MIB]) t.match((await put(service, bytes(size))).body, { storage: 'b2' })
  t.same(service.log.of('breaker.open'), [])
})

for (const isWell of [true, false]) {
  t.test(`of 20 uploads at once after the reset time one tries B2, which is ${isWell ? 'well' : 'not'}`, async t => {
    const { b2, service, upload } = await setUp(t, { BREAKER_RESET_MS: String(RESET_MS) })
    const down = b2.fault({ operation: 'PutObject', status: 403, times: Infinity })
    await upload()
    if (isWell) down.cancel()
    await wait(RESET_MS)

    const before = writes(b2)
    b2.throttle({ bytesPerSecond: 10 })
    const isHere = service.log.until(line => line.event === 'breaker.half_open')
    const uploads = Array.from({ length: 20 }, () => upload())
    // The probe stands still until the 19 others have been answered without it.
    await isHere
    const passedBy = (): number => service.log.of('upload.stored').length - 1
    await service.log.until(() => passedBy() >= 19)
    t.equal(writes(b2) - before, 1, 'exactly one request')
    b2.throttle(null)
    const receipts = await Promise.all(uploads)

    t.equal(receipts.filter(({ storage }) => storage === 'b2').length, isWell ? 1 : 0)
    t.ok(receipts.every(({ storage, fallback_reason: reason }) => storage === 'b2' || reason.error_code === 'access_denied'))
    t.equal(writes(b2) - before, 1, 'and still one')
    t.same(service.log.lines.filter(({ event }) => event?.startsWith('breaker.')).map(({ event }) => event),
      ['breaker.open', 'breaker.half_open', isWell ? 'breaker.closed' : 'breaker.open'])
    t.match(await upload(), { storage: isWell ? 'b2' : 'local' })
  })
}

t.test('every upload may be the probe, as none can be lost', async t => {
  const { b2, upload } = await setUp(t, { BREAKER_RESET_MS: String(RESET_MS), REPLAY_WINDOW_BYTES: String(MIB) })
  b2.fault({ operation: 'PutObject', status: 403 })
  await upload()
  await wait(RESET_MS)
  t.match(await upload(2 * MIB), { storage: 'b2' }, 'longer than the window')
})

t.test('an upload that could be lost is never the probe', async t => {
  const { b2, service, upload } = await setUp(t, { BREAKER_RESET_MS: String(RESET_MS), REPLAY_WINDOW_BYTES: String(MIB), FALLBACK_BEYOND_WINDOW: 'refuse' })
  b2.fault({ operation: 'PutObject', status: 403 })
  await upload()
  await wait(RESET_MS)
  const before = b2.requests.length

  t.match(await upload(2 * MIB), { storage: 'local' }, 'longer than the window')
  const content = bytes(PUT)
  const unknown = await fetch(`${service.url}/uploads/x.bin`, {
    method: 'PUT',
    body: new ReadableStream({
      start (controller) {
        controller.enqueue(content)
        controller.close()
      },
    }),
    duplex: 'half',
  } as RequestInit)
  t.match(await unknown.json(), { storage: 'local', track: { sha256: sha256(content) } }, 'of unknown length')
  t.equal(b2.requests.length, before)

  t.match(await upload(MIB), { storage: 'b2' }, 'one that fits is')
  t.match(await upload(2 * MIB), { storage: 'b2' })
})

t.test('a probe whose client leaves gives no verdict', async t => {
  const { b2, service, upload } = await setUp(t, { BREAKER_RESET_MS: String(RESET_MS) })
  b2.fault({ operation: 'PutObject', status: 403 })
  await upload()
  await wait(RESET_MS)

  const client = new AbortController()
  const begun = b2.waitFor('request', ({ operation }) => operation === 'CreateMultipartUpload')
  // Long enough for B2 to hear of it before all has come.
  const left = fetch(`${service.url}/uploads/x.bin`, {
    method: 'PUT',
    headers: { 'content-length': String(12 * MIB) },
    body: new ReadableStream({ start (controller) { controller.enqueue(bytes(9 * MIB)) } }),
    duplex: 'half',
    signal: client.signal,
  } as RequestInit)
  await begun
  client.abort()
  await t.rejects(left, { name: 'AbortError' })
  await service.log.until(line => line.event === 'upload.aborted')
  t.match(await upload(), { storage: 'b2' }, 'the next one is the probe')
})
