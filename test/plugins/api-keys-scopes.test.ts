import t from 'tap'
import { connect, isError } from '../support/clients/raw-http.ts'
import { bytes, put, startService } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'
import { scrape } from '../support/service/metrics.ts'

const TOKENS = {
  all: 'the-token-for-everything',
  web: 'the-token-of-the-website',
  reader: 'the-token-of-the-reader-',
  janitor: 'the-token-of-the-janitor',
  prometheus: 'the-token-of-prometheus-',
}
const API_KEYS = `${TOKENS.all},web:${TOKENS.web}:upload+read,reader:${TOKENS.reader}:read,janitor:${TOKENS.janitor}:delete,prometheus:${TOKENS.prometheus}:metrics`
type Who = keyof typeof TOKENS

const MAY: Record<Who, readonly string[]> = {
  all: ['upload', 'read', 'delete', 'metrics'],
  web: ['upload', 'read'],
  reader: ['read'],
  janitor: ['delete'],
  prometheus: ['metrics'],
}

const as = (who: Who): { authorization: string } => ({ authorization: `Bearer ${TOKENS[who]}` })

/** One request for each route, the one that removes the file last. */
async function requestsFor (service: TestService): Promise<(readonly [scope: string, method: string, path: string, body?: string])[]> {
  const { headers } = await put(service, bytes(10), 'a.bin', as('all'))
  const path = headers.get('location')!
  return [
    ['upload', 'PUT', '/uploads/b.bin', 'bytes'],
    ['upload', 'POST', '/uploads', '--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nbytes\r\n--x--\r\n'],
    ['read', 'GET', path],
    ['read', 'HEAD', path],
    ['read', 'GET', `${path}/content`],
    ['read', 'HEAD', `${path}/content`],
    ['metrics', 'GET', '/metrics'],
    ['metrics', 'HEAD', '/metrics'],
    ['delete', 'DELETE', path],
  ]
}

t.test('a key may do what its scopes say, and nothing else', async t => {
  const service = await startService(t, { API_KEYS })
  for (const who of Object.keys(TOKENS) as Who[]) {
    for (const [scope, method, path, body] of await requestsFor(service)) {
      const response = await fetch(`${service.url}${path}`, {
        method, headers: { ...as(who), ...(method === 'POST' ? { 'content-type': 'multipart/form-data; boundary=x' } : {}) }, ...(body === undefined ? {} : { body }),
      })
      if (MAY[who].includes(scope)) {
        t.ok(response.ok, `${who} may ${method} ${path}: ${response.status}`)
        await response.arrayBuffer()
        continue
      }
      t.equal(response.headers.get('www-authenticate'), `Bearer error="insufficient_scope", scope="${scope}"`)
      if (method === 'HEAD') t.equal(response.status, 403)
      else isError(t, { status: response.status, headers: response.headers, body: await response.json() }, 403, 'forbidden')
    }
  }
})

t.test('an upload that the key may not make is refused before its bytes, and is told in one closing line with the label', async t => {
  const service = await startService(t, { API_KEYS })
  const client = await connect(t, service)
  await client.send(`PUT /uploads/a.bin HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TOKENS.reader}\r\ncontent-length: 100000000\r\nexpect: 100-continue\r\n\r\n`)
  isError(t, await client.answer(), 403, 'forbidden')
  t.match(service.log.of('upload.failed'), [{ level: 40, error_code: 'forbidden', api_key: 'reader' }])
  t.same(await service.localFiles(), [])
})

t.test('/ready tells any key the details, and nobody else', async t => {
  const service = await startService(t, { API_KEYS })
  for (const who of Object.keys(TOKENS) as Who[]) t.match(await (await fetch(`${service.url}/ready`, { headers: as(who) })).json(), { b2: Object, local: Object }, who)
  for (const headers of [{}, { authorization: 'Bearer wrong' }] as Record<string, string>[]) {
    t.strictSame(await (await fetch(`${service.url}/ready`, { headers })).json(), { status: 'ok' })
  }
})

t.test('log lines say whose key it was, and never the token', async t => {
  const service = await startService(t, { API_KEYS: `song-app:${TOKENS.web},${TOKENS.all}`, LOG_LEVEL: 'debug' })
  const { headers } = await put(service, bytes(10), 'a.bin', as('web'))
  const path = headers.get('location')!
  for (const [method, url] of [['GET', `${path}/content`], ['DELETE', path], ['PUT', '/uploads/a/b']] as const) {
    await (await fetch(`${service.url}${url}`, { method, headers: as('web') })).arrayBuffer()
  }
  await service.log.until(({ event }) => event === 'upload.failed')
  for (const event of ['upload.stored', 'file.read', 'file.deleted', 'upload.failed']) t.match(service.log.of(event), [{ api_key: 'song-app' }], event)
  t.ok(service.log.lines.some(({ level, msg }) => level === 40 && /entry 1 has one colon/.test(msg)))
  await put(service, bytes(10), 'a.bin', as('all'))
  t.notOk('api_key' in service.log.of('upload.stored')[1]!, 'a key without a label has none')
  t.notMatch(JSON.stringify(service.log.lines), /the-token/)
})

t.test('refusals are counted for every kind of request', async t => {
  const service = await startService(t, { API_KEYS })
  const [path] = ['/uploads/019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001.mp3']
  for (const [method, url, who] of [['GET', path, 'janitor'], ['DELETE', path, 'reader'], ['PUT', path, 'reader'], ['GET', `${path}/content`, undefined], ['GET', `${path}/content`, 'reader']] as const) {
    await (await fetch(`${service.url}${url}`, { method, headers: who === undefined ? {} : as(who) })).arrayBuffer()
  }
  const { samples } = await scrape(service, as('prometheus'))
  for (const [code, count] of [['forbidden', 3], ['unauthorized', 1], ['not_found', 1]] as const) t.equal(samples.get(`requests_refused_total{error_code="${code}"}`), count, code)
})
