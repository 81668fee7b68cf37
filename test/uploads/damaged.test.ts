import { readFile } from 'node:fs/promises'
import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator, Fault } from '../../emulator/index.ts'
import { damaged, digestOf, putInTwo, putWithTrailers } from '../support/clients/digests.ts'
import { isError } from '../support/clients/raw-http.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'
import { contentOf, isEmpty, nameOf, remove } from '../support/service/stored-files.ts'

const MIB = 1_048_576
const PART = 5 * MIB
const LARGE = bytes(2 * PART + 1_000)
const LARGE_DIGEST = digestOf(LARGE)
const SMALL = bytes(20_000)
const PLACES: [name: string, at: number][] = [['first', 0], ['middle', PART + 1_000], ['last', LARGE.byteLength - 1]]
const ENV = { B2_PART_BYTES: String(PART), B2_MAX_ATTEMPTS: '1', BREAKER_THRESHOLD: '0', PROMOTE_INTERVAL_MS: '0' }
/** The beginning of each file is given up as soon as B2 has its first part. */
const BEYOND = { ...ENV, REPLAY_WINDOW_BYTES: String(MIB) }

interface Stage { readonly b2: B2Emulator, readonly service: TestService }

async function start (t: Test, env: Record<string, string>): Promise<Stage> {
  const b2 = await startB2(t)
  return { b2, service: await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', ...env }) }
}

/** Sends the large file, and its last bytes only after something, with the digest of what it should be. */
async function sendLarge (service: TestService, file: Uint8Array, between: Promise<unknown>): Promise<Answer> {
  return await putInTwo(service, file, { 'repr-digest': LARGE_DIGEST }, between)
}

async function b2Fails ({ log }: TestService): Promise<void> {
  const before = new Set(log.lines)
  await log.until(line => line.event === 'b2.failed' && !before.has(line))
}

/** None of the requests of a damaged file could have made an object of it, and nothing of it is anywhere. */
async function isRefused (t: Test, { b2, service }: Stage, send: () => Promise<Answer>): Promise<void> {
  const before = b2.requests.length
  const answer = await send()
  isError(t, answer, 400, 'digest_mismatch')
  t.match(service.log.of('upload.failed').at(-1), { level: 40, error_code: 'digest_mismatch', correlation_id: answer.body.correlation_id })
  await isEmpty(t, b2, service)
  t.same(b2.requests.slice(before).filter(({ operation }) => operation === 'CompleteMultipartUpload' || operation === 'PutObject'), [], 'nothing was completed')
}

for (const [name, env, places] of [['that fits the window', ENV, PLACES], ['that has outgrown the window', BEYOND, PLACES.slice(0, 1)]] as const) {
  t.test(`a file ${name}, of which a bit was changed on the way, is not completed in B2`, async t => {
    const stage = await start(t, env)
    const { b2, service } = stage
    for (const [part, at] of places) {
      await t.test(`in the ${part} part`, async t => {
        const hasParts = b2.waitFor('applied', ({ operation, partNumber }) => operation === 'UploadPart' && partNumber === 2)
        await isRefused(t, stage, async () => await sendLarge(service, damaged(LARGE, at), hasParts))
      })
    }
    const answer = await putWithTrailers(service, LARGE, { 'content-digest': LARGE_DIGEST }, { 'repr-digest': LARGE_DIGEST })
    t.match(answer, { status: 201, body: { storage: 'b2', track: { sha256: sha256(LARGE) } } })
    t.equal(await contentOf(service, nameOf(answer.body.track.key)), sha256(LARGE))
  })
}

t.test('a damaged file is refused at its end, if its digest comes only then', async t => {
  const stage = await start(t, ENV)
  await isRefused(t, stage, async () => await putWithTrailers(stage.service, damaged(LARGE, 0), { 'repr-digest': LARGE_DIGEST }))
})

t.test('a small damaged file never gets to B2', async t => {
  const stage = await start(t, ENV)
  for (const at of [0, 10_000, SMALL.byteLength - 1]) await isRefused(t, stage, async () => await put(stage.service, damaged(SMALL, at), 'a', { 'content-digest': digestOf(SMALL) }))
  t.equal(stage.b2.requests.length, 0)
})

t.test('nor does a damaged file get to a local directory alone', async t => {
  const service = await startService(t)
  for (const [content, at] of [[SMALL, 1], [LARGE, PART]] as const) {
    isError(t, await put(service, damaged(content, at), 'a', { 'content-digest': digestOf(content) }), 400, 'digest_mismatch')
    t.same(await service.localFiles(), [])
  }
  const { status, body } = await put(service, LARGE, 'a', { 'content-digest': LARGE_DIGEST })
  t.equal(status, 201)
  t.equal(sha256(await readFile(body.location)), sha256(LARGE))
})

const OUTAGES: [name: string, fault: Fault, env: Record<string, string>][] = [
  ['at once', { status: 503, times: Infinity }, ENV],
  ['at a later part', { operation: 'UploadPart', part: 2, status: 503, times: Infinity }, ENV],
  ['and the circuit is open', { status: 503, times: Infinity }, { ...ENV, BREAKER_THRESHOLD: '1' }],
]

for (const [index, [name, fault, env]] of OUTAGES.entries()) {
  t.test(`a damaged file does not fall back: B2 fails ${name}`, async t => {
    const stage = await start(t, env)
    const { b2, service } = stage
    const outage = b2.fault(fault)
    const kept = await sendLarge(service, LARGE, b2Fails(service))
    t.match(kept, { status: 201, body: { storage: 'local', fallback_reason: { error_code: 'service_unavailable' } } }, 'an undamaged one does')
    t.equal(sha256(await readFile(kept.body.location)), sha256(LARGE))
    const files = [kept.body.track.key, `${kept.body.track.key}.receipt.json`]

    for (const [content, at] of [[LARGE, PLACES[index]![1]], [SMALL, 1]] as const) {
      const send = content === LARGE
        ? sendLarge(service, damaged(LARGE, at), b2Fails(service))
        : put(service, damaged(SMALL, at), 'a', { 'repr-digest': digestOf(SMALL) })
      isError(t, await send, 400, 'digest_mismatch')
      t.same((await service.localFiles()).filter(file => !file.startsWith('.leftovers/')), files, 'nothing of it is in local storage')
    }
    t.equal(b2.versions().length, 0)

    outage.cancel()
    await remove(service, nameOf(kept.body.track.key))
    await isEmpty(t, b2, service)
  })
}

t.test('a damaged file is not split: B2 keeps no part of it, nor does the local directory', async t => {
  const stage = await start(t, BEYOND)
  const { b2, service } = stage
  // Late enough for the first part to be acknowledged before the second fails.
  const fault: Fault = { operation: ['UploadPart', 'CompleteMultipartUpload'], after: 1, status: 503, delayMs: 500, times: Infinity }
  for (const [part, at] of PLACES) {
    await t.test(`in the ${part} part`, async t => {
      const outage = b2.fault(fault)
      await isRefused(t, stage, async () => await sendLarge(service, damaged(LARGE, at), b2Fails(service)))
      outage.cancel()
    })
  }
  const outage = b2.fault(fault)
  const { status, body } = await sendLarge(service, LARGE, b2Fails(service))
  t.match({ status, body }, { status: 202, body: { storage: 'split', split: { b2_bytes: PART, local_bytes: PART + 1_000 } } }, 'an undamaged one is')
  outage.cancel()
  t.match(await service.app.uploads.promote(), { promoted: 1 })
  t.equal(await contentOf(service, nameOf(body.track.key)), sha256(LARGE))
})
