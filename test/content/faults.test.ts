import { appendFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Fault } from '../../emulator/index.ts'
import { drawNoPauses } from '../support/b2/no-pauses.ts'
import { putObject, storeOn } from '../support/b2/stage.ts'
import { contentPath, download } from '../support/clients/download.ts'
import type { DownloadOptions } from '../support/clients/download.ts'
import { KIB, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { sha256 } from '../support/service/service.ts'
import { FILE, RANGE, SIZE, isUnavailable, store } from '../support/clients/unavailable.ts'

const REQUESTS: readonly DownloadOptions[] = [{}, { method: 'HEAD' }, RANGE, { method: 'HEAD', ...RANGE }, { headers: { 'if-none-match': '*' } }]

t.test('while B2 is out of reach its files are unavailable, those here are served, and the circuit learns nothing', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, { BREAKER_THRESHOLD: '2' })
  const { path } = await store(t, service, 'b2')
  const here = await fallBack(KIB) // a second failure would open the circuit
  const outages: [() => void | Promise<void>, string][] = [
    [() => { b2.fault({ status: 503, times: Infinity }) }, 'service_unavailable'],
    [() => { b2.fault({ status: 403, code: 'AccessDenied', times: Infinity }) }, 'access_denied'],
    [() => { b2.fault({ action: 'garbage', times: Infinity }) }, 'service_unavailable'],
    // What a proxy says, or a server that is no S3 server, is no word on the file.
    [() => { b2.fault({ status: 404, body: '<html>Not Found</html>', contentType: 'text/html; charset=utf-8', times: Infinity }) }, 'invalid_request'],
    [async () => { await b2.refuseConnections() }, 'network_error'],
  ]
  for (const [begin, code] of outages) {
    b2.clearFaults()
    await begin()
    const before = service.log.of('file.read').length
    for (const options of REQUESTS) isUnavailable(t, await download(service, path, options), options)
    t.same(service.log.of('file.read').slice(before).map(({ level, error_code: found }) => [level, found]), REQUESTS.map(() => [40, code]))
    const answer = await download(service, contentPath(here.key))
    t.same([answer.status, sha256(answer.body)], [200, sha256(here.content)])
  }
  t.match((await uploads.status()).b2, { state: 'closed' })
})

const BREAKS: Record<string, readonly Omit<Fault, 'operation'>[]> = {
  'an answer that ends early': [{ action: 'truncate-answer', atByte: MIB }],
  'two answers that end early, and a refusal': [{ action: 'truncate-answer', atByte: 1_000 }, { status: 503 }, { action: 'truncate-answer', atByte: MIB }],
  'a connection that is reset before the rest': [{ action: 'truncate-answer', atByte: MIB }, { action: 'reset', at: 'after-body' }],
  'an answer that stalls': [{ bytesPerSecond: 10_000 }],
}

for (const [name, faults] of Object.entries(BREAKS)) {
  t.test(`a reader gets all bytes in spite of ${name}`, async t => {
    drawNoPauses(t)
    const { b2, service } = await setPromotionStage(t, { B2_STALL_TIMEOUT_MS: '1000' })
    const { path, content } = await store(t, service, 'b2')
    for (const [options, first] of [[{}, 0], [RANGE, 1_000]] as const) {
      b2.clearFaults()
      const before = b2.requests.length
      for (const fault of faults) b2.fault({ operation: 'GetObject', key: FILE, ...fault })
      const answer = await download(service, path, options)
      t.equal(answer.isWhole, true)
      t.equal(sha256(answer.body), sha256(content.subarray(first)))
      const gets = b2.requests.slice(before).filter(({ operation, key }) => operation === 'GetObject' && FILE.test(key!))
      t.ok(gets.length > faults.length, 'it broke')
      t.equal(gets.at(-1)!.outcome, 'answered')
    }
    t.same(service.log.lines.filter(({ level }) => level >= 40), [])
  })
}

t.test('where B2 fails for good in the middle the connection is cut', async t => {
  const { b2, service } = await setPromotionStage(t)
  const { path, content } = await store(t, service, 'b2')
  for (const [options, first, status] of [[{}, 0, 200], [RANGE, 1_000, 206]] as const) {
    b2.clearFaults()
    b2.fault({ operation: 'GetObject', key: FILE, action: 'truncate-answer', atByte: 2 * MIB })
    b2.fault({ operation: 'GetObject', key: FILE, status: 403, times: Infinity })
    const answer = await download(service, path, options)
    t.match(answer, { status, isWhole: false, headers: { 'content-length': String(SIZE - first) } })
    t.ok(answer.body.equals(content.subarray(first, first + answer.body.byteLength)), 'what came is of the file')
    t.ok(answer.body.byteLength > 0)
  }
  t.match(service.log.of('file.read'), [{ level: 40, error_code: 'access_denied', name: String, correlation_id: String }, { level: 40 }])
  t.equal(service.log.of('file.read').length, 2)
})

const DAMAGES: Record<string, (path: string) => Promise<void>> = {
  'is shorter than its receipt says': async path => { await truncate(path, SIZE - 1) },
  'is empty': async path => { await truncate(path, 0) },
  'is longer than its receipt says': async path => { await appendFile(path, 'x') },
}

for (const [name, damage] of Object.entries(DAMAGES)) {
  t.test(`a local file that ${name} is no file to serve, but an outage, until B2 has it`, async t => {
    const { b2, service, fallBack } = await setPromotionStage(t)
    const { key, content } = await fallBack(SIZE)
    await damage(join(service.dir, key))
    for (const options of [{}, RANGE]) isUnavailable(t, await download(service, contentPath(key), options), options)
    t.match(service.log.of('file.read').map(({ detail }) => detail), [/damaged/, /damaged/])

    await putObject(storeOn(t, b2), key, content)
    const answer = await download(service, contentPath(key))
    t.same([answer.status, answer.isWhole, sha256(answer.body)], [200, true, sha256(content)])
  })
}
