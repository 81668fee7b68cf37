import t from 'tap'
import Fastify from 'fastify'
import b2Uploads, { rewriteUrl } from '../../../index.ts'
import { connect, isError } from '../../support/clients/raw-http.ts'
import type { RawAnswer } from '../../support/clients/raw-http.ts'
import { bytes, sha256, startService } from '../../support/service/service.ts'
import type { TestService } from '../../support/service/service.ts'

const FILE = bytes(1_000)

/** Sends a request whose target is written as it is given, byte by byte. */
async function ask (t: Parameters<typeof connect>[0], service: Pick<TestService, 'url'>, method: string, target: string | Buffer, more = '', body: Buffer = Buffer.alloc(0)): Promise<RawAnswer | undefined> {
  const client = await connect(t, service)
  const head = Buffer.concat([Buffer.from(`${method} `), Buffer.from(target), Buffer.from(` HTTP/1.1\r\nhost: x\r\n${more}`)])
  await client.send(Buffer.concat([head, Buffer.from(body.byteLength > 0 ? `content-length: ${body.byteLength}\r\n\r\n` : '\r\n'), body]))
  return await client.answer()
}

t.test('an absolute-form target is read as its path and query, on every route', async t => {
  const service = await startService(t)
  for (const origin of ['http://x', 'http://other.example:8080', 'HTTPS://user@[::1]:1']) {
    const stored = await ask(t, service, 'PUT', `${origin}/uploads/song.mp3?from=proxy`, '', FILE)
    t.match(stored, { status: 201, body: { track: { filename: 'song.mp3', sha256: sha256(FILE) } } }, origin)
    const location = stored!.headers.get('location')!
    t.match(location, /^\/uploads\/[0-9a-f-]{36}\.mp3$/)
    t.equal((await ask(t, service, 'GET', `${origin}${location}`))?.status, 200)
    t.equal((await ask(t, service, 'GET', `${origin}${location}/content?download=1`))?.headers.get('content-length'), '1000')
    for (const path of ['/health', '/ready', '/metrics', '/documentation/json', '/health?x=1']) t.equal((await ask(t, service, 'GET', origin + path))?.status, 200, path)
    t.equal((await ask(t, service, 'DELETE', `${origin}${location}`))?.status, 204)
    isError(t, await ask(t, service, 'GET', `${origin}${location}`), 404, 'not_found')
    for (const none of [origin, `${origin}/`, `${origin}?x=1`, `${origin}/nowhere`]) isError(t, await ask(t, service, 'GET', none), 404, 'not_found')
  }
})

t.test('a form is taken at an absolute-form target, too', async t => {
  const service = await startService(t)
  const form = Buffer.from('--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--b--\r\n')
  t.match(await ask(t, service, 'POST', 'http://x/uploads', 'content-type: multipart/form-data; boundary=b\r\n', form), { status: 201, body: { track: { sha256: sha256(Buffer.from('hello')) } } })
})

t.test('escaped names are decoded once', async t => {
  const service = await startService(t)
  for (const [target, filename] of [
    ['/uploads/Bj%C3%B6rk.mp3', 'Björk.mp3'],
    ['http://x/uploads/%F0%9F%8E%B5.flac', '🎵.flac'],
    ['/uploads/100%2525.mp3', '100%25.mp3'],
    ['/uploads/a+b%2Bc.mp3', 'a+b+c.mp3'],
  ] as const) t.match(await ask(t, service, 'PUT', target, '', FILE), { status: 201, body: { track: { filename, sha256: sha256(FILE) } } }, target)
})

t.test('bytes above US-ASCII in a target, which Node\'s parser does not take, are refused with a hint; nothing is stored', async t => {
  const service = await startService(t)
  for (const name of [Buffer.from('Björk.mp3'), Buffer.from('日本.flac'), Buffer.from('Bj\xf6rk.mp3', 'latin1'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([0xff])]) {
    const answer = await ask(t, service, 'PUT', Buffer.concat([Buffer.from('/uploads/'), name]), '', FILE)
    isError(t, answer, 400, 'invalid_request')
    t.match(answer?.body.hints, [/^Percent-encode /])
  }
  for (const name of ['%FF.mp3', 'Bj%F6rk.mp3', '%ED%A0%80', '%C3']) isError(t, await ask(t, service, 'PUT', `/uploads/${name}`, '', FILE), 400, 'invalid_request')
  t.same(await service.localFiles(), [])
})

t.test('where a parser does take such bytes (HTTP/2), names in UTF-8 are read as UTF-8', async t => {
  const latin1 = (text: string): string => Buffer.from(text).toString('latin1')
  for (const [url, target] of [
    [latin1('/uploads/Björk.mp3'), '/uploads/Bj%C3%B6rk.mp3'], [latin1('/uploads/é%20日.mp3?x=ö'), '/uploads/%C3%A9%20%E6%97%A5.mp3?x=%C3%B6'],
    ['/uploads/Bj\xf6rk.mp3', '/uploads/Bj%F6rk.mp3'], ['*', '*'], ['', '/'], [undefined, '/'], ['//x/y', '//x/y'],
  ] as const) t.equal(rewriteUrl({ url }), target)
})

t.test('a host has the same with rewriteUrl', async t => {
  const app = Fastify({ rewriteUrl })
  t.teardown(() => app.close())
  await app.register(b2Uploads, { prefix: '/media', local: { dir: t.testdir() }, promoteIntervalMs: 0 })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.match(await ask(t, { url }, 'PUT', 'http://x/media/uploads/song.mp3?x=1', '', FILE), { status: 201, body: { track: { filename: 'song.mp3' } } })
})
