import { maxHeaderSize } from 'node:http'
import { once } from 'node:events'
import t from 'tap'
import { ConfigSchema } from '../../services/config/schema.ts'
import { findNginx } from '../support/deploy/nginx.ts'
import { answerTo, NGINX_CONF, startNginxProxy } from '../support/deploy/nginx-proxy.ts'
import { isError } from '../support/clients/raw-http.ts'
import { b2Env, bytes, inB2, put, sha256, startB2, startService } from '../support/service/service.ts'

const nginx = findNginx()
const skip = nginx === undefined ? 'there is no nginx on the PATH' : false
const MB = 1_000_000
const CALM = { B2_STALL_TIMEOUT_MS: '10000', TRUST_PROXY: 'loopback' }
const UNITS: Record<string, number> = { s: 1_000, m: 60_000, k: 1_024 }
const { properties } = ConfigSchema

/** What a directive says, the first one of that name after a text. */
function said (directive: string, after = ''): string {
  const text = NGINX_CONF.slice(NGINX_CONF.indexOf(after)).replaceAll(/^\s*#.*$/gm, '')
  return new RegExp(`^\\s*${directive}\\s+(.+);$`, 'm').exec(text)?.[1] ?? ''
}

/** A time in milliseconds, or a size in bytes. */
function measure (text: string): number {
  const [, number, unit] = /(\d+)([smk])$/.exec(text) ?? []
  return Number(number) * UNITS[unit!]!
}

t.test('the timeouts and limits of the nginx configuration leave it to the service to end and to refuse', async t => {
  t.ok(measure(said('client_body_timeout')) > properties.UPLOAD_IDLE_TIMEOUT_MS.default, 'idle clients')
  const { B2_MAX_ATTEMPTS: tries, B2_CONNECT_TIMEOUT_MS: connect, B2_STALL_TIMEOUT_MS: stall } = properties
  t.ok(measure(said('proxy_read_timeout')) > 2 * tries.default * (connect.default + 2 * stall.default), 'B2 that fails at the very end, twice over')
  t.ok(measure(said('proxy_send_timeout')) > measure(said('proxy_read_timeout')), 'uploads that wait for others')
  t.ok(measure(said('large_client_header_buffers')) >= maxHeaderSize, 'headers')
  t.equal(said('client_max_body_size'), '0', 'files')
  const { app } = await startService(t)
  t.ok(measure(said('keepalive_timeout', 'upstream uploads')) < app.server.keepAliveTimeout, 'connections are closed by nginx first')
})

t.test('behind nginx an upload arrives whole, and B2 has its beginning before the client has sent its end', { skip }, async t => {
  t.setTimeout(30_000) // a proxy that holds the upload back would keep both sides waiting
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...CALM })
  const proxy = await startNginxProxy(t, nginx!, service)
  const content = bytes(20 * MB)
  const firstPart = b2.waitFor('applied', ({ operation }) => operation === 'UploadPart')
  const request = proxy.request('PUT', '/uploads/song.bin', { headers: { 'content-length': content.byteLength, 'x-correlation-id': 'through-nginx' } })
  request.write(content.subarray(0, 12 * MB))
  await firstPart
  t.equal(service.app.uploads.inFlight, 1)
  const answer = await answerTo(request.end(content.subarray(12 * MB)))
  t.match(answer, { status: 201, body: { storage: 'b2', track: { sha256: sha256(content) } } })
  t.equal(inB2(b2).files[0]?.sha256, sha256(content))
  t.equal(answer.headers.get('x-correlation-id'), 'through-nginx')
  t.match(answer.headers.get('strict-transport-security'), /^max-age=\d+$/)

  const download = await proxy.fetch('GET', `${answer.headers.get('location')}/content`)
  t.equal(sha256(download.content), sha256(content), 'and it can be read')
  const log = (await proxy.end()).map(line => JSON.parse(line))
  t.match(log, [{ method: 'PUT', status: 201, correlation_id: 'through-nginx' }, { method: 'GET', status: 200 }], 'the log of nginx leads to that of the service')
})

t.test('behind nginx each client is counted by its own address, whatever it says of itself', { skip }, async t => {
  const proxy = await startNginxProxy(t, nginx!, await startService(t, { ...CALM, RATE_LIMIT_MAX: '1' }))
  const upload = async (from: string, claims: string): Promise<number> =>
    (await proxy.fetch('PUT', '/uploads/a', { body: bytes(10), from, headers: { 'x-forwarded-for': claims } })).status
  t.equal(await upload('127.0.0.2', '203.0.113.1'), 201)
  t.equal(await upload('127.0.0.2', '203.0.113.2'), 429, 'the same one')
  t.equal(await upload('127.0.0.3', '203.0.113.2'), 201, 'another one')
})

t.test('behind nginx an upload that is refused is answered in the service\'s words while it is being sent', { skip }, async t => {
  const service = await startService(t, { ...CALM, UPLOAD_MAX_BYTES: String(MB), API_KEYS: 'a-key' })
  const proxy = await startNginxProxy(t, nginx!, service)
  const cases: [status: number, code: string, headers: Record<string, string | number>][] = [
    [413, 'file_too_large', { authorization: 'Bearer a-key', 'content-length': 20 * MB }],
    [413, 'file_too_large', { authorization: 'Bearer a-key', 'transfer-encoding': 'chunked' }],
    [401, 'unauthorized', { 'content-length': 20 * MB }],
  ]
  for (const [status, code, headers] of cases) {
    const request = proxy.request('PUT', '/uploads/song.bin', { headers, agent: false })
    request.on('error', () => {}) // what it still sends goes nowhere
    request.write(bytes(2 * MB))
    isError(t, await answerTo(request), status, code)
    t.notOk(request.writableEnded)
    request.destroy()
  }
  t.same(await service.localFiles(), [])
})

t.test('behind nginx large headers and odd names arrive as they were sent, and metrics are not to be had', { skip }, async t => {
  const service = await startService(t, CALM)
  const proxy = await startNginxProxy(t, nginx!, service)
  t.equal((await proxy.fetch('GET', '/health', { headers: { cookie: 'x'.repeat(12_000) } })).status, 200)
  const name = 'ein //Lied\\ ☂ %2e%2e%2f?#.mp3'
  t.equal((await proxy.fetch('PUT', `/uploads/${encodeURIComponent(name)}`, { body: bytes(10) })).body.track.filename,
    (await put(service, bytes(10), name)).body.track.filename)
  t.equal((await proxy.fetch('GET', '/metrics')).status, 404)
})

t.test('behind nginx an upload that the service can not be given is tried once', { skip }, async t => {
  const service = await startService(t, CALM)
  let uploads = 0
  service.app.server.prependListener('request', (request, response) => {
    if (request.method !== 'PUT') return
    uploads++
    response.socket?.destroy()
  })
  const proxy = await startNginxProxy(t, nginx!, service)
  await proxy.fetch('GET', '/health') // leaves a connection to be used again
  const request = proxy.request('PUT', '/uploads/a', { headers: { 'content-length': 10 } })
  const answered = once(request, 'response')
  request.end(bytes(10))
  t.equal((await answered)[0].statusCode, 502)
  t.equal(uploads, 1)
})
