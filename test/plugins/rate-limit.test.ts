import t from 'tap'
import { isError } from '../support/clients/raw-http.ts'
import { bytes, post, put, startService } from '../support/service/service.ts'
import type { Answer } from '../support/service/service.ts'
import { get, nameOf } from '../support/service/stored-files.ts'

const from = (address: string): Record<string, string> => ({ 'x-forwarded-for': address })

t.test('more uploads than RATE_LIMIT_MAX in a window are refused, whichever way they come, and nothing else is', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '3', RATE_LIMIT_WINDOW_MS: '60000' })
  const stored = await put(service, bytes(10))
  t.equal(stored.headers.get('ratelimit-limit'), '3')
  t.equal(stored.headers.get('ratelimit-remaining'), '2')
  t.equal((await post(service, bytes(10))).headers.get('ratelimit-remaining'), '1')
  t.equal((await put(service, bytes(10))).status, 201)
  const files = await service.localFiles()
  for (const answer of [await put(service, bytes(10)), await post(service, bytes(10))]) {
    isError(t, answer, 429, 'too_many_requests')
    t.match(answer.body.detail, 'More than 3 uploads came from this address within 60 seconds.')
    const wait = Number(answer.headers.get('retry-after'))
    t.ok(wait >= 1 && wait <= 60, `Retry-After is ${wait}`)
  }
  t.same(await service.localFiles(), files)
  t.match(service.log.of('upload.failed'), [{ level: 40, error_code: 'too_many_requests', size_bytes: 0 }, { error_code: 'too_many_requests' }])
  for (const path of ['/health', '/ready', `/uploads/${nameOf(stored.body.track.key)}`, `/uploads/${nameOf(stored.body.track.key)}/content`]) {
    const response = await fetch(`${service.url}${path}`)
    t.equal(response.status, 200, path)
    t.notOk(response.headers.has('ratelimit-limit'))
    await response.arrayBuffer()
  }
})

t.test('the window ends', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '1', RATE_LIMIT_WINDOW_MS: '1000' })
  t.equal((await put(service, bytes(10))).status, 201)
  let answer: Answer
  do answer = await put(service, bytes(10)) // each time soon, so that it would never end if these counted, too
  while (answer.status === 429)
  t.equal(answer.status, 201)
})

t.test('without RATE_LIMIT_MAX there is no limit', async t => {
  const service = await startService(t)
  const { status, headers } = await put(service, bytes(10))
  t.equal(status, 201)
  t.notOk(headers.has('ratelimit-limit'))
})

t.test('uploads without a key don\'t use the limit up', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '1', API_KEYS: 'a-key-with-a-limit' })
  for (let count = 0; count < 3; count++) t.equal((await put(service, bytes(10))).status, 401)
  t.equal((await put(service, bytes(10), 'a.bin', { authorization: 'Bearer a-key-with-a-limit' })).status, 201)
})

t.test('behind a proxy that is trusted each client has its own limit, an IPv6 one its network', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '1', TRUST_PROXY: 'loopback' })
  const upload = async (address: string): Promise<number> => (await put(service, bytes(10), 'a.bin', from(address))).status
  t.equal(await upload('203.0.113.1'), 201)
  t.equal(await upload('203.0.113.1'), 429)
  t.equal(await upload('203.0.113.2'), 201)
  t.equal(await upload('198.51.100.7, 203.0.113.2'), 429, 'what a client puts before the proxy\'s own word counts nothing')
  t.equal(await upload('2001:db8:1:2::1'), 201)
  t.equal(await upload('2001:db8:1:2:ffff::9'), 429)
  t.equal(await upload('2001:db8:1:3::1'), 201)
})

t.test('where no proxy is trusted, nobody has another address by saying so', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '1' })
  t.equal((await put(service, bytes(10), 'a.bin', from('203.0.113.1'))).status, 201)
  t.equal((await put(service, bytes(10), 'a.bin', from('203.0.113.2'))).status, 429)
  t.equal((await get(service, '/health')).status, 200)
})
