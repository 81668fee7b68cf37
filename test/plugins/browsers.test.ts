import t from 'tap'
import { connect } from '../support/clients/raw-http.ts'
import { bytes, put, startService } from '../support/service/service.ts'

const HEADERS = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}

t.test('every answer tells browsers to be careful with it', async t => {
  const service = await startService(t, { API_KEYS: 'a-key-of-a-page' })
  const authorization = 'Bearer a-key-of-a-page'
  const { headers: stored, body } = await put(service, bytes(10), 'a.bin', { authorization })
  const name = body.track.key.split('/').at(-1)
  const answers = [
    stored,
    ...await Promise.all(['/health', '/ready', '/nowhere', `/uploads/${name}`, `/uploads/${name}/content`, '/metrics'].map(async path => (await fetch(`${service.url}${path}`, { headers: { authorization } })).headers)),
    (await put(service, bytes(10))).headers,
  ]
  for (const headers of answers) {
    t.match(Object.fromEntries(headers), HEADERS)
    t.notOk(headers.has('strict-transport-security'), 'not over plain HTTP: RFC 6797 §7.2')
    t.notOk(headers.has('x-powered-by'))
  }
  for (const wrong of ['GET /%zz HTTP/1.1\r\nhost: x\r\n\r\n', 'GET / HTTP/1.1\r\nbad header\r\n\r\n']) {
    const client = await connect(t, service)
    await client.send(wrong)
    t.equal((await client.answer())!.headers.get('x-content-type-options'), 'nosniff', 'whatever it is that failed')
  }
  const page = await fetch(`${service.url}/documentation/`)
  t.match(page.headers.get('content-security-policy'), /^default-src 'self'/, 'the documentation is a page')
})

t.test('without CORS_ORIGIN no page of another origin may read an answer', async t => {
  const service = await startService(t)
  for (const method of ['GET', 'OPTIONS']) {
    const { headers } = await fetch(`${service.url}/health`, { method, headers: { origin: 'https://app.example', 'access-control-request-method': 'PUT' } })
    t.same([...headers.keys()].filter(name => name.startsWith('access-control-')), [])
  }
})

t.test('pages of the origins in CORS_ORIGIN may call the service, with a key, and read its errors', async t => {
  const service = await startService(t, { CORS_ORIGIN: 'https://app.example, https://studio.example', API_KEYS: 'a-key-of-a-page', RATE_LIMIT_MAX: '10' })
  const ask = async (origin: string, method: string, path = '/uploads/a.bin', headers: Record<string, string> = {}): Promise<Response> =>
    await fetch(`${service.url}${path}`, { method, headers: { origin, ...headers }, ...(method === 'PUT' ? { body: bytes(10) } : {}) })

  const preflight = { 'access-control-request-method': 'PUT', 'access-control-request-headers': 'authorization,repr-digest,x-correlation-id' }
  for (const origin of ['https://app.example', 'https://studio.example']) {
    const allowed = await ask(origin, 'OPTIONS', undefined, preflight)
    t.equal(allowed.status, 204, 'a preflight has no key')
    t.match(Object.fromEntries(allowed.headers), {
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
      'access-control-allow-headers': 'authorization,repr-digest,x-correlation-id',
      'access-control-max-age': '600',
      vary: /Origin/i,
    })
    t.notOk(allowed.headers.has('access-control-allow-credentials'), 'keys are sent by the page, not by the browser')
  }
  t.notOk((await ask('https://evil.example', 'OPTIONS', undefined, preflight)).headers.has('access-control-allow-origin'))

  const refused = await ask('https://app.example', 'PUT')
  t.equal(refused.status, 401)
  t.equal(refused.headers.get('access-control-allow-origin'), 'https://app.example')
  const stored = await ask('https://app.example', 'PUT', undefined, { authorization: 'Bearer a-key-of-a-page' })
  t.equal(stored.status, 201)
  const exposed = stored.headers.get('access-control-expose-headers')!.split(', ')
  for (const name of ['location', 'x-correlation-id', 'ratelimit-remaining', 'retry-after', 'repr-digest']) t.ok(exposed.includes(name), name)
  t.equal(stored.headers.get('cross-origin-resource-policy'), 'cross-origin', 'a player on such a page may play it')
  t.equal((await ask('https://app.example', 'GET', '/nowhere', { authorization: 'Bearer a-key-of-a-page' })).headers.get('access-control-allow-origin'), 'https://app.example')
  t.equal((await ask('https://app.example', 'OPTIONS', '/health')).status, 204, 'an OPTIONS that is no preflight')
})

t.test('CORS_ORIGIN * is for pages of all origins', async t => {
  const service = await startService(t, { CORS_ORIGIN: '*' })
  const { headers } = await fetch(`${service.url}/health`, { headers: { origin: 'https://app.example' } })
  t.equal(headers.get('access-control-allow-origin'), '*')
})
