import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator, Fault } from '../../../../emulator/index.ts'
import { CALM, MIB } from '../../../support/promotion/promotion.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../../../support/service/service.ts'
import { startScriptedServer } from '../../../support/b2/scripted-server.ts'
import { TLS } from '../../../support/clients/tls.ts'

// What never began in B2 leaves nothing to be looked for there.

async function fallBack (t: Test, b2: B2Emulator, env: Record<string, string> = {}) {
  const service = await startService(t, { ...b2Env(b2), ...CALM, ...env })
  const content = bytes(12 * MIB)
  const { body } = await put(service, content)
  t.match(body, { storage: 'local', fallback_from_b2: true, track: { sha256: sha256(content) } })
  return { service, reason: body.fallback_reason, notes: (await service.localFiles()).filter(name => name.startsWith('.leftovers/')) }
}

const listings = (b2: B2Emulator): string[] => b2.requests.map(({ operation }) => operation).filter(operation => operation.startsWith('List'))

t.test('when B2 refuses connections, nothing is noted, and nothing listed later', async t => {
  const b2 = await startB2(t)
  await b2.refuseConnections()
  const { service, notes } = await fallBack(t, b2, { B2_MAX_ATTEMPTS: '2' })
  t.same(notes, [])
  await b2.acceptConnections()
  t.match(await service.app.uploads.promote(), { promoted: 1 })
  await service.app.close()
  t.same(listings(b2), [])
})

t.test('when its certificate is not trusted, either', async t => {
  const b2 = await startB2(t, { tls: TLS })
  const { reason, notes } = await fallBack(t, b2)
  t.match(reason, { error_code: 'network_error', detail: /trusted/ })
  t.same(notes, [])
  t.same(b2.requests, [])
})

for (const [name, fault] of [
  ['says that it is busy', { status: 503 }],
  ['asks to slow down', { status: 503, code: 'SlowDown' }],
  ['refuses the key', { status: 403 }],
  ['can\'t do this', { status: 501 }],
] as [string, Fault][]) {
  t.test(`when B2 ${name} at the beginning, either`, async t => {
    const b2 = await startB2(t)
    const down = b2.fault({ operation: 'CreateMultipartUpload', times: Infinity, ...fault })
    const { service, notes } = await fallBack(t, b2, { B2_MAX_ATTEMPTS: '2' })
    t.same(notes, [])
    down.cancel()
    t.match(await service.app.uploads.promote(), { promoted: 1 })
    await service.app.close()
    t.same(listings(b2), [])
  })
}

t.test('when B2 was busy and then began it, there are no others to look for', async t => {
  const b2 = await startB2(t)
  b2.fault({ operation: 'CreateMultipartUpload', status: 503 })
  const service = await startService(t, { ...b2Env(b2), ...CALM, B2_MAX_ATTEMPTS: '2' })
  t.match((await put(service, bytes(12 * MIB))).body, { storage: 'b2' })
  await service.app.close()
  t.same(listings(b2), [])
})

for (const [name, fault] of [
  ['is reset after it had come', { action: 'lose-answer' }],
  ['is answered with 500', { status: 500, apply: true }],
  ['is answered with 504', { status: 504, apply: true }],
  ['is answered without an id', { status: 200, apply: true }],
  ['is not answered', { action: 'lose-answer-hang' }],
] as [string, Fault][]) {
  t.test(`when the request that begins it ${name}, what it may have begun is ended`, async t => {
    const b2 = await startB2(t)
    const down = b2.fault({ operation: 'CreateMultipartUpload', ...fault })
    const service = await startService(t, { ...b2Env(b2), ...CALM, B2_STALL_TIMEOUT_MS: '400' })
    t.match((await put(service, bytes(12 * MIB))).body, { storage: down.applied === 0 ? 'b2' : 'local' })
    while (b2.unfinishedUploads().length > 0) await b2.waitFor('response')
    t.ok(listings(b2).length > 0)
    t.equal(down.applied, 1)
  })
}

t.test('a name that can\'t be found, and a server that never says hello, begin nothing', async t => {
  const b2 = await startB2(t)
  const { port } = await startScriptedServer(t, () => {})
  for (const endpoint of ['http://nowhere.invalid', `https://127.0.0.1:${port}`]) {
    const { notes } = await fallBack(t, b2, { B2_ENDPOINT: endpoint, B2_CONNECT_TIMEOUT_MS: '200' })
    t.same(notes, [], endpoint)
  }
})
