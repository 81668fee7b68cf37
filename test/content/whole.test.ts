import t from 'tap'
import type { Test } from 'tap'
import { contentPath, download, request } from '../support/clients/download.ts'
import { CALM, KIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { b2Env, bytes, inB2, put, startService } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'
import { isServed, store } from '../support/clients/served.ts'

t.test('a file is served from B2, also after a restart and by a service elsewhere', async t => {
  const { b2, service } = await setPromotionStage(t)
  const kept = await store(service)
  t.equal(inB2(b2).files.length, 4)
  const headers = await isServed(t, service, kept)
  await service.app.close()
  const again = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  t.strictSame(await isServed(t, again, kept), headers)
  const elsewhere = await startService(t, { ...b2Env(b2), ...CALM })
  t.strictSame(await isServed(t, elsewhere, kept), headers)
})

t.test('the file name is told so that every client can read it, and is never more than a name', async t => {
  const service = await startService(t)
  const names: [name: string, header: string][] = [
    ['song.mp3', 'attachment; filename=song.mp3'],
    ['a song.mp3', 'attachment; filename="a song.mp3"'],
    ['Lied ☂.mp3', 'attachment; filename="Lied ?.mp3"; filename*=UTF-8\'\'Lied%20%E2%98%82.mp3'],
    ['say "x"; filename=y.exe', 'attachment; filename="say \\"x\\"; filename=y.exe"'],
    ['100%41.mp3', 'attachment; filename=100%41.mp3; filename*=UTF-8\'\'100%2541.mp3'],
    ['a\r\nset-cookie: x.mp3', 'attachment; filename="aset-cookie: x.mp3"'],
    ['../../etc/passwd', 'attachment; filename=passwd'],
  ]
  for (const [name, header] of names) {
    const { body } = await put(service, bytes(1), name)
    const { headers } = await download(service, contentPath(body.track.key), { method: 'HEAD' })
    t.equal(headers['content-disposition'], header)
  }
  const { body } = await put(service, bytes(1), `${'夢'.repeat(250)}.mp3`)
  const { headers } = await download(service, contentPath(body.track.key))
  t.equal(decodeURIComponent(headers['content-disposition']!.split('UTF-8\'\'')[1]!), body.track.filename, 'a long name, too')
})

t.test('a name that is none, and a file that is none, are not found, in the shape of every error', async t => {
  const { b2, service } = await setPromotionStage(t)
  const { body } = await put(service, bytes(KIB), 'a.mp3')
  const requests = b2.requests.length
  const names = ['x', `${body.track.id}.MP3`, `${body.track.id}.mp3.receipt.json`, `tracks%2f${body.track.id}.mp3`, '..%2fa', '%2e%2e', `.${body.track.id}.mp3.part`]
  for (const name of names) await isNotFound(t, service, `/uploads/${name}/content`)
  t.equal(b2.requests.length, requests, 'nobody asked B2')
  await isNotFound(t, service, contentPath(body.track.id))
  await isNotFound(t, service, contentPath(body.track.key.replace('-7', '-70').slice(0, -5)))
  t.equal(service.log.lines.filter(({ level }) => level >= 40).length, 0)
})

async function isNotFound (t: Test, service: TestService, path: string): Promise<void> {
  const client = await connect(t, service)
  await client.send(`GET ${path} HTTP/1.1\r\nhost: x\r\nrange: bytes=0-1\r\nif-none-match: *\r\n\r\n`)
  const answer = await client.answer()
  isError(t, answer, 404, 'not_found')
  for (const name of ['etag', 'last-modified', 'content-disposition', 'accept-ranges', 'repr-digest']) t.notOk(answer!.headers.has(name), name)
  const head = await download(service, path, { method: 'HEAD' })
  t.match(head, { status: 404, isWhole: true, headers: { 'content-type': /^application\/json/, 'content-length': /^\d+$/ } })
}

t.test('one connection serves one file after another, errors in between', async t => {
  const { service } = await setPromotionStage(t)
  const content = Buffer.from('A file of text.')
  const { body } = await put(service, content, 'a.txt')
  const client = await connect(t, service)
  const ask = async (method: string, path: string, header = '') => {
    await client.send(`${method} ${path} HTTP/1.1\r\nhost: x\r\n${header}\r\n`)
    return await client.answer()
  }
  const path = contentPath(body.track.key)
  t.match(await ask('GET', path), { status: 200, text: content.toString() })
  t.match(await ask('GET', path, 'range: bytes=99-\r\n'), { status: 416, body: { error_code: 'range_not_satisfiable' } })
  t.match(await ask('GET', path, 'if-none-match: *\r\n'), { status: 304 })
  t.match(await ask('GET', path, 'range: bytes=2-5\r\n'), { status: 206, text: 'file' })
  t.match(await ask('GET', contentPath('x')), { status: 404 })
  t.match(await ask('GET', path), { status: 200, text: content.toString() })
})

t.test('with API keys it needs one', async t => {
  const service = await startService(t, { API_KEYS: 'a-key-of-some-length' })
  const authorization = 'Bearer a-key-of-some-length'
  const { body } = await put(service, bytes(10), 'a', { authorization })
  const path = contentPath(body.track.key)
  t.match(await download(service, path), { status: 401 })
  t.match(await download(service, path, { method: 'HEAD' }), { status: 401 })
  t.match(await download(service, path, { headers: { authorization } }), { status: 200 })
  const answer = await request(service, path, { headers: { 'x-correlation-id': 'mine', authorization } })
  t.equal(answer.resume().headers['x-correlation-id'], 'mine')
})
