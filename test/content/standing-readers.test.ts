import type { IncomingMessage } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { contentPath, download, request, rest } from '../support/clients/download.ts'
import { scrape } from '../support/service/metrics.ts'
import { isError } from '../support/clients/raw-http.ts'
import { b2Env, put, sha256, startB2, startService } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'
import { CONTENT, IDLE_MS } from '../support/clients/standing-readers.ts'

// more than sockets can hold

async function start (t: Test, storage: 'b2' | 'local', env: Record<string, string> = {}): Promise<{ service: TestService, path: string }> {
  const service = await startService(t, { ...(storage === 'b2' ? b2Env(await startB2(t)) : {}), LOG_LEVEL: 'debug', DOWNLOAD_IDLE_TIMEOUT_MS: String(IDLE_MS), ...env })
  return { service, path: contentPath((await put(service, CONTENT)).body.track.key) }
}

/** Takes a little again and again, for a time. */
async function readSlowly (answer: IncomingMessage, forMs: number): Promise<Buffer[]> {
  const chunks: Buffer[] = []
  for (const until = performance.now() + forMs; performance.now() < until;) {
    const chunk = answer.read() as Buffer | null
    if (chunk !== null) chunks.push(chunk)
    await wait(20)
  }
  return chunks
}

for (const storage of ['b2', 'local'] as const) {
  t.test(`a reader that takes nothing is ended, and one that is slow is not (${storage})`, async t => {
    const { service, path } = await start(t, storage)
    const [standing, slow] = [await request(service, path), await request(service, path)]
    t.equal((await scrape(service)).samples.get('downloads_in_flight'), 2)
    const stalled = service.log.until(({ event, result }) => event === 'file.read' && result === 'stalled')
    const begun = await readSlowly(slow, 3 * IDLE_MS)
    t.match(await stalled, { level: 40, name: path.split('/')[2], storage, status: 200, method: 'GET' })
    t.equal((await rest(standing)).isWhole, false)
    const { body, isWhole } = await rest(slow)
    t.equal(isWhole, true)
    t.equal(sha256(Buffer.concat([...begun, body])), sha256(CONTENT))
    await service.log.until(({ event, result }) => event === 'file.read' && result === 'served')
    const { samples } = await scrape(service)
    t.equal(samples.get(`downloads_total{storage="${storage}",result="stalled"}`), 1)
    t.equal(samples.get(`downloads_total{storage="${storage}",result="served"}`), 1)
    t.equal(samples.get('downloads_in_flight'), 0)
  })
}

t.test('no more content requests at once than DOWNLOAD_MAX_CONCURRENT, whoever they are from', async t => {
  const { service, path } = await start(t, 'local', { DOWNLOAD_MAX_CONCURRENT: '2', DOWNLOAD_IDLE_TIMEOUT_MS: '60000' })
  const reading = [await request(service, path), await request(service, path, { headers: { range: 'bytes=1-' } })]
  for (const method of ['GET', 'HEAD']) {
    const refused = await fetch(`${service.url}${path}`, { method })
    t.equal(refused.status, 503)
    t.equal(refused.headers.get('retry-after'), '5')
    t.notOk(refused.headers.has('etag'))
    if (method === 'GET') isError(t, { status: 503, headers: refused.headers, body: await refused.json() }, 503, 'overloaded')
  }
  t.equal((await scrape(service)).samples.get('requests_refused_total{error_code="overloaded"}'), 2)
  t.equal((await fetch(`${service.url}${path.replace('/content', '')}`)).status, 200, 'receipts are none')
  reading[0]!.destroy()
  await service.log.until(({ event, result }) => event === 'file.read' && result === 'aborted')
  t.equal((await rest(reading[1]!)).isWhole, true)
  await service.log.until(({ event, result }) => event === 'file.read' && result === 'served')
  for (let count = 0; count < 5; count++) t.equal((await fetch(`${service.url}${path}`, { method: 'HEAD' })).status, 200, 'each gives its place back')
  t.equal((await scrape(service)).samples.get('downloads_in_flight'), 0)
})

t.test('each content request is one line, with how it ended', async t => {
  const { service, path } = await start(t, 'local')
  const etag = (await download(service, path, { method: 'HEAD' })).headers.etag!
  for (const headers of [{ range: 'bytes=0-9' }, { 'if-none-match': etag }, { 'if-match': '"another"' }, { range: 'bytes=99999999-' }]) await download(service, path, { headers })
  await download(service, contentPath('019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001.mp3'))
  while (service.log.of('file.read').length < 6) await service.log.until(({ event }) => event === 'file.read')
  t.same(service.log.of('file.read').map(({ level, method, status, result, error_code: code }) => [level, method, status, result, code]), [
    [20, 'HEAD', 200, 'served', undefined],
    [20, 'GET', 206, 'served', undefined],
    [20, 'GET', 304, 'served', undefined],
    [20, 'GET', 412, 'refused', service.log.of('file.read')[3]!['error_code']],
    [20, 'GET', 416, 'refused', 'range_not_satisfiable'],
    [20, 'GET', 404, 'refused', 'not_found'],
  ])
})
