import { readFile } from 'node:fs/promises'
import t from 'tap'
import type { Fault } from '../../emulator/index.ts'
import { damaged, digestOf, putWithTrailers } from '../support/clients/digests.ts'
import { isError } from '../support/clients/raw-http.ts'
import { bytes, put, sha256, startService } from '../support/service/service.ts'
import { contentOf, isEmpty, nameOf, remove } from '../support/service/stored-files.ts'
import { BEYOND, ENV, LARGE, LARGE_DIGEST, PART, PLACES, b2Fails, isRefused, sendLarge, start } from '../support/uploads/damaged.ts'

const SMALL = bytes(20_000)

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
