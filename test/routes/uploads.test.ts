import http from 'node:http'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import Fastify from 'fastify'
import b2Uploads from '../../index.ts'
import { fieldPart, filePart, form, postBody, streamOf } from '../support/forms/forms.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { b2Env, bytes, post, put, sha256, startB2, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'

const UUID_7 = '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==', 'base64')

async function send (service: Pick<TestService, 'url'>, path: string, options: http.RequestOptions, body: Uint8Array): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const request = http.request(`${service.url}${path}`, options, response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => { text += chunk }).on('end', () => {
        resolve({ status: response.statusCode!, headers: new Headers(response.headers as Record<string, string>), body: JSON.parse(text) })
      })
    })
    request.on('error', reject).end(body)
  })
}

t.test('both routes give the same answer for a file in B2, in exactly the contract\'s shape', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' })
  const content = bytes(1_000)
  for (const upload of [put, post]) {
    const { status, headers, body } = await upload(service, content, 'Ein Lied.MP3')
    t.equal(status, 201)
    t.strictSame(Object.keys(body).sort(), ['location', 'storage', 'track'])
    t.equal(body.storage, 'b2')
    t.match(body.location, new RegExp(`^tracks/${UUID_7}\\.mp3$`))
    const { id, uploaded_at: uploadedAt, ...track } = body.track
    t.equal(`tracks/${id}.mp3`, body.location, 'the id is the one in the key')
    t.match(uploadedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
    t.ok(Math.abs(Date.now() - Date.parse(uploadedAt)) < 60_000)
    t.strictSame(track, {
      key: body.location, filename: 'Ein Lied.MP3', content_type: 'application/octet-stream', size_bytes: 1_000, sha256: sha256(content), metadata: {}, audio: null,
    })
    t.equal(headers.get('location'), `/uploads/${id}.mp3`)
    t.match(headers.get('content-type'), /^application\/json/)
    t.same(b2.read(body.location), content)
  }
})

t.test('a local-only answer has no fallback fields, a fallback has both', async t => {
  const service = await startService(t)
  const { body } = await put(service, bytes(10), 'a.bin')
  t.strictSame(Object.keys(body).sort(), ['location', 'storage', 'track'])
  t.equal(body.storage, 'local')
  t.equal(body.location, join(service.dir, body.track.key))

  const b2 = await startB2(t)
  b2.fault({ status: 403, code: 'AccessDenied', times: Infinity })
  const failing = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' })
  const fallback = await put(failing, bytes(10), 'a.bin')
  t.equal(fallback.status, 201)
  t.strictSame(Object.keys(fallback.body).sort(), ['fallback_from_b2', 'fallback_reason', 'location', 'storage', 'track'])
  t.equal(fallback.body.fallback_from_b2, true)
  t.strictSame(Object.keys(fallback.body.fallback_reason).sort(), ['detail', 'error_code'])
  t.equal(fallback.body.fallback_reason.error_code, 'access_denied')
})

t.test('a relative directory shows in the location as it was configured', async t => {
  t.chdir(t.testdir())
  const service = await startService(t, { LOCAL_STORAGE_DIR: './storage' })
  const { body } = await put(service, bytes(10), 'a.mp3')
  t.equal(body.location, `storage/${body.track.key}`)
})

t.test('the correlation id is the client\'s own where it is harmless', async t => {
  const service = await startService(t)
  const idOf = async (headers: Record<string, string>): Promise<string> => {
    const answer = await put(service, bytes(1), 'a.bin', headers)
    const id = answer.headers.get('x-correlation-id')!
    t.equal(service.log.of('upload.stored').at(-1)?.correlation_id, id, 'the log has the same')
    return id
  }
  const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
  t.equal(await idOf({ 'x-correlation-id': 'A.b_c:1-2' }), 'A.b_c:1-2')
  t.equal(await idOf({ 'x-request-id': 'r1' }), 'r1')
  t.equal(await idOf({ 'x-correlation-id': 'c1', 'x-request-id': 'r1' }), 'c1')
  t.equal(await idOf({ 'x-correlation-id': 'not valid', 'x-request-id': 'r1' }), 'r1')
  t.equal(await idOf({ 'x-correlation-id': 'x'.repeat(128) }), 'x'.repeat(128))
  t.match(await idOf({ 'x-correlation-id': 'x'.repeat(129) }), uuid)
  t.match(await idOf({ 'x-correlation-id': '"quoted"' }), uuid)
  t.match(await idOf({ 'x-correlation-id': '' }), uuid)
  t.match(await idOf({}), uuid)
  t.not(await idOf({}), await idOf({}))
})

t.test('nothing of the client\'s name but a harmless extension is in the key, and the name is kept', async t => {
  const service = await startService(t, { B2_KEY_PREFIX: 'some/where/' })
  const names: [sent: string, filename: string, extension: string][] = [
    ['song.MP3', 'song.MP3', '.mp3'],
    ['Zoë – 東京 🎵.flac', 'Zoë – 東京 🎵.flac', '.flac'],
    ['../../etc/passwd', 'passwd', ''],
    ['..\\..\\windows\\system.ini', 'system.ini', '.ini'],
    ['C:\\Music\\a.wav', 'a.wav', '.wav'],
    ['/absolute/b.ogg', 'b.ogg', '.ogg'],
    ['a.tar.gz', 'a.tar.gz', '.gz'],
    ['no-extension', 'no-extension', ''],
    ['long.extension9', 'long.extension9', ''],
    ['fine.extensio', 'fine.extensio', '.extensio'],
    ['odd.m p3', 'odd.m p3', ''],
    ['odd.mp3;x', 'odd.mp3;x', ''],
    ['ends.', 'ends.', ''],
    ['ünïcode.mpé', 'ünïcode.mpé', ''],
    ['x'.repeat(251) + '.mp3', 'x'.repeat(251) + '.mp3', '.mp3'],
    ['a%2Fb.mp3', 'a%2Fb.mp3', '.mp3'],
  ]
  for (const [sent, filename, extension] of names) {
    for (const upload of [put, post]) {
      const { status, body, headers } = await upload(service, bytes(1), sent)
      t.equal(status, 201, `${upload.name} of ${sent}`)
      t.equal(body.track.filename, filename)
      t.match(body.track.key, new RegExp(`^some/where/${UUID_7}${extension.replace('.', '\\.')}$`))
      t.equal(headers.get('location'), `/uploads/${body.track.key.slice('some/where/'.length)}`)
    }
  }
  for (const file of await service.localFiles()) t.match(file, new RegExp(`^some/where/[.]?${UUID_7}`), 'stored below the prefix')
})

t.test('names that are nothing but path tricks, control characters or too long are tamed', async t => {
  const service = await startService(t)
  const nul = await put(service, bytes(1), 'a\u0000b\u001f.mp3')
  t.equal(nul.body.track.filename, 'ab.mp3')
  t.match(nul.body.track.key, /\.mp3$/)
  const dots = await send(service, '/uploads/%2e%2e%2f%2e%2e', { method: 'PUT' }, bytes(1))
  t.equal(dots.body.track.filename, 'file')
  const long = await put(service, bytes(1), 'é'.repeat(900) + '.mp3')
  t.equal(long.status, 201, 'a name of more than a thousand bytes')
  t.equal([...long.body.track.filename as string].length, 255)
  const slash = await send(service, '/uploads/a%2Fb.mp3', { method: 'PUT' }, bytes(1))
  t.equal(slash.body.track.filename, 'b.mp3')
  isError(t, await send(service, '/uploads/a/b.mp3', { method: 'PUT' }, bytes(1)), 404, 'not_found')
  isError(t, await send(service, '/uploads/', { method: 'PUT' }, bytes(1)), 404, 'not_found')
  isError(t, await send(service, '/uploads/%ff.mp3', { method: 'PUT' }, bytes(1)), 400, 'invalid_request')
  t.equal((await send(service, '/uploads/a.mp3?x=y/z', { method: 'PUT' }, bytes(1))).body.track.filename, 'a.mp3')
})

t.test('the content type is what the bytes show, else what was declared, else octets', async t => {
  const service = await startService(t)
  const types: [content: Buffer, declared: string, type: string][] = [
    [PNG, 'text/plain', 'image/png'],
    [Buffer.from('just text'), 'Text/Plain; charset=utf-8', 'text/plain'],
    [Buffer.from('just text'), 'nonsense', 'application/octet-stream'],
    [Buffer.from('just text'), 'audio/aac; =', 'audio/aac'],
    [Buffer.from('just text'), 'text/*', 'application/octet-stream'],
    [Buffer.from('just text'), ';;;', 'application/octet-stream'],
    [Buffer.from('just text'), 'application/json', 'application/json'],
    [Buffer.from('just text'), 'application/x-www-form-urlencoded', 'application/x-www-form-urlencoded'],
    [Buffer.alloc(0), 'audio/mpeg', 'audio/mpeg'],
  ]
  for (const [content, declared, type] of types) {
    const answer = await put(service, content, 'a.bin', { 'content-type': declared })
    t.equal(answer.status, 201, `PUT declared as ${declared}`)
    t.equal(answer.body.track?.content_type, type)
    if (declared === ';;;') continue // the form parser makes it the default of a part, text/plain
    t.equal((await postBody(service, form(filePart(content, { type: declared })))).body.track?.content_type, type, `POST declared as ${declared}`)
  }
  const bare = await send(service, '/uploads/a.bin', { method: 'PUT' }, Buffer.from('just text'))
  t.equal(bare.body.track.content_type, 'application/octet-stream')
  const raw = form(filePart(bytes(10)))
  const asForm = await put(service, raw, 'a.bin', { 'content-type': 'multipart/form-data; boundary=x' })
  t.equal(asForm.body.track.sha256, sha256(raw), 'PUT stores a form as it is')
})

t.test('bodies without a length are taken, and so are empty ones', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' })
  const content = bytes(9_000_000)
  const raw = await fetch(`${service.url}/uploads/a.bin`, { method: 'PUT', body: streamOf(content), duplex: 'half' } as RequestInit)
  t.equal((await raw.json() as Answer['body']).track.sha256, sha256(content))
  const multipart = await postBody(service, streamOf(form(filePart(content))))
  t.equal(multipart.body.track.sha256, sha256(content))
  for (const head of ['', 'content-length: 0\r\n', 'content-type: audio/mpeg\r\n']) {
    const client = await connect(t, service)
    await client.send(`PUT /uploads/empty HTTP/1.1\r\nhost: x\r\n${head}\r\n`)
    const answer = await client.answer()
    t.equal(answer?.status, 201)
    t.equal(answer?.body.track.size_bytes, 0)
  }
  t.equal((await postBody(service, form(filePart('', { filename: 'empty.mp3' })))).body.track.size_bytes, 0)
})

t.test('what is not multipart gets 415 at POST /uploads', async t => {
  const service = await startService(t)
  for (const type of ['application/json', 'text/plain', 'audio/mpeg', 'multipart/mixed; boundary=x', 'application/x-www-form-urlencoded', 'nonsense', ';']) {
    isError(t, await postBody(service, Buffer.from('{}'), type), 415, 'unsupported_media_type')
  }
  for (const rest of ['content-length: 2\r\n\r\n{}', 'content-length: 0\r\n\r\n', '\r\n']) {
    const client = await connect(t, service)
    await client.send(`POST /uploads HTTP/1.1\r\nhost: x\r\n${rest}`)
    isError(t, await client.answer(), 415, 'unsupported_media_type')
  }
  t.same(await service.localFiles(), [])
})

t.test('a piece of a file is refused, as it would be taken for the file', async t => {
  const service = await startService(t)
  const answer = await put(service, bytes(1_000), 'a.mp3', { 'content-range': 'bytes 1000-1999/5000' })
  isError(t, answer, 400, 'invalid_request')
  t.match(answer.body.detail, /Content-Range/)
  t.same(await service.localFiles(), [])
})

t.test('a body with a content coding gets 415, as it is not the file', async t => {
  const service = await startService(t)
  const packed = gzipSync(bytes(1_000))
  for (const coding of ['gzip', 'br', 'identity, gzip', 'aws-chunked']) {
    for (const answer of [
      await put(service, packed, 'a.mp3', { 'content-encoding': coding }),
      await postBody(service, form(filePart(packed)), undefined, { 'content-encoding': coding }),
    ]) {
      isError(t, answer, 415, 'unsupported_media_type')
      t.equal(answer.headers.get('accept-encoding'), 'identity')
    }
  }
  t.same(await service.localFiles(), [])
  for (const coding of ['identity', 'Identity', '']) {
    t.equal((await put(service, packed, 'a.gz', { 'content-encoding': coding })).body.track?.sha256, sha256(packed), `'${coding}'`)
  }
})

t.test('types that are not allowed get 415 and nothing of them is stored', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', UPLOAD_ALLOWED_TYPES: 'audio/*,text/plain' })
  for (const size of [0, 20_000_000]) {
    const png = Buffer.concat([PNG, bytes(size)])
    isError(t, await put(service, png, 'a.mp3', { 'content-type': 'audio/mpeg' }), 415, 'unsupported_media_type')
    isError(t, await post(service, png, 'a.mp3', { type: 'audio/mpeg' }), 415, 'unsupported_media_type')
  }
  isError(t, await put(service, Buffer.from('?'), 'a'), 415, 'unsupported_media_type')
  t.equal((await put(service, Buffer.from('text'), 'a.txt', { 'content-type': 'text/plain; charset=utf-8' })).status, 201)
  t.equal((await put(service, Buffer.from('?'), 'a.mp3', { 'content-type': 'audio/x-anything' })).status, 201)
  t.equal(b2.objects().length, 2)
  t.same(b2.unfinishedUploads(), [])
  t.same(await service.localFiles(), [])
})

t.test('under a prefix the Location header has the prefix', async t => {
  const app = Fastify()
  await app.register(b2Uploads, { prefix: '/media/v1', local: { dir: t.testdir() } })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  for (const answer of [await put({ url: `${url}/media/v1` }, bytes(1), 'a.mp3'), await postBody({ url: `${url}/media/v1` }, form(fieldPart('a', 'b'), filePart('x')))]) {
    t.equal(answer.status, 201)
    t.equal(answer.headers.get('location'), `/media/v1/uploads/${answer.body.track.key.split('/').at(-1)}`)
  }
})
