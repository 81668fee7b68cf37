import { once } from 'node:events'
import { connect } from 'node:http2'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import multipart from '@fastify/multipart'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import b2Uploads, { optionsFromEnv } from '../../index.ts'
import type { B2UploadsOptions, Uploads } from '../../index.ts'
import { fieldPart, filePart, form, postBody } from '../support/forms/forms.ts'
import { isError } from '../support/clients/raw-http.ts'
import { b2Env, bytes, filesBelow, put, sha256, startB2 } from '../support/service/service.ts'

const MIB = 1_048_576
const content = bytes(3 * MIB)

/** A host that is not the service; `prepare` runs before the plugin is registered. */
async function startHost (t: Test, options: Partial<B2UploadsOptions> = {}, prepare: (app: FastifyInstance) => unknown = () => {}) {
  const app = Fastify()
  t.teardown(() => app.close())
  const dir = t.testdir()
  await prepare(app)
  const all: B2UploadsOptions = { prefix: '/media', local: { dir }, ...options }
  await app.register(b2Uploads, all)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { app, dir, url, media: { url: `${url}/media` } }
}

async function bothWork (t: Test, media: { url: string }): Promise<void> {
  const multipart = await postBody(media, form(fieldPart('a', 'b'), filePart(content), fieldPart('c', 'd')))
  t.equal(multipart.status, 201)
  t.match(multipart.body.track, { sha256: sha256(content), metadata: { a: 'b', c: 'd' } })
  const raw = await put(media, content)
  t.equal(raw.status, 201)
  t.equal(raw.body.track.sha256, sha256(content))
}

t.test('it works under a prefix, beside a host without a multipart parser', async t => {
  const { media, url } = await startHost(t)
  await bothWork(t, media)
  t.equal((await fetch(`${url}/uploads/a`, { method: 'PUT', body: 'x' })).status, 404, 'and nowhere else')
})

t.test('it works beside the host\'s multipart parser, whose limits are tiny and stay the host\'s', async t => {
  const { media, url } = await startHost(t, {}, async app => {
    await app.register(multipart, { limits: { fileSize: 10, files: 1, fields: 0, parts: 1, fieldSize: 1, fieldNameSize: 1, headerPairs: 3 } })
    app.post('/own', async request => {
      const file = await request.file()
      return { bytes: (await file!.toBuffer()).byteLength }
    })
  })
  await bothWork(t, media)
  const small = await fetch(`${url}/own`, { method: 'POST', body: form(filePart('12345')), headers: { 'content-type': 'multipart/form-data; boundary=the-boundary-of-this-form' } })
  t.same(await small.json(), { bytes: 5 })
  const large = await fetch(`${url}/own`, { method: 'POST', body: form(filePart('12345678901')), headers: { 'content-type': 'multipart/form-data; boundary=the-boundary-of-this-form' } })
  t.equal(large.status, 413)
})

t.test('it works beside a host\'s own content type parsers, body limit and tiny limit of parameters', async t => {
  const app = Fastify({ bodyLimit: 10, routerOptions: { maxParamLength: 5 } })
  t.teardown(() => app.close())
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async () => 'of the host')
  app.addContentTypeParser(/^application\/.*/, { parseAs: 'buffer' }, async () => 'of the host')
  await app.register(b2Uploads, { local: { dir: t.testdir() } })
  app.put('/own', async request => ({ body: request.body }))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  await bothWork(t, { url })
  isError(t, await postBody({ url }, Buffer.from('x'), 'audio/mpeg'), 415, 'unsupported_media_type')
  const own = await fetch(`${url}/own`, { method: 'PUT', body: 'x' })
  t.same(await own.json(), { body: 'x' }, 'and the host still parses as it did')
})

t.test('errors of the uploads are in the plugin\'s shape, all others in the host\'s', async t => {
  const { media, url } = await startHost(t, { maxBytes: 10 }, app => {
    app.setErrorHandler((error, _request, reply) => { reply.code(418).send({ host: (error as Error).message }) })
    app.setNotFoundHandler((_request, reply) => { reply.code(404).send({ host: 'nothing here' }) })
    app.get('/boom', async () => { throw new Error('of the host') })
  })
  isError(t, await put(media, bytes(11)), 413, 'file_too_large')
  isError(t, await postBody(media, form()), 400, 'missing_file')
  isError(t, await postBody(media, form(), 'nonsense'), 415, 'unsupported_media_type')
  const boom = await fetch(`${url}/boom`)
  t.equal(boom.status, 418)
  t.same(await boom.json(), { host: 'of the host' })
  for (const path of ['/nowhere', '/media/nowhere']) {
    const missing = await fetch(`${url}${path}`)
    t.equal(missing.status, 404)
    t.same(await missing.json(), { host: 'nothing here' })
    t.notOk(missing.headers.has('x-correlation-id'))
  }
})

for (const hook of ['onRequest', 'preHandler'] as const) {
  t.test(`the host's ${hook} hooks apply to the routes, and what they answer or throw is the host's`, async t => {
    const { media, dir } = await startHost(t, {}, app => {
      app.setErrorHandler((error, _request, reply) => { reply.code(403).send({ host: (error as Error).message }) })
      app.addHook(hook, async (request, reply) => {
        if (request.headers['x-token'] === 'throw') throw new Error('thrown')
        if (request.headers['x-token'] !== 'good') return reply.code(401).send({ message: 'who are you?' })
      })
    })
    for (const upload of [
      (headers: Record<string, string>) => put(media, content, 'a.bin', headers),
      (headers: Record<string, string>) => postBody(media, form(filePart(content)), undefined, headers),
    ]) {
      const refused = await upload({})
      t.equal(refused.status, 401)
      t.strictSame(refused.body, { message: 'who are you?' })
      const thrown = await upload({ 'x-token': 'throw' })
      t.equal(thrown.status, 403)
      t.strictSame(thrown.body, { host: 'thrown' })
      t.equal((await upload({ 'x-token': 'good' })).status, 201)
    }
    t.equal((await filesBelow(dir)).length, 4, 'two files with their receipts')
  })
}

t.test('the option preHandler guards the routes and nothing else', async t => {
  const { media, url } = await startHost(t, {
    preHandler: async (_request, reply) => reply.code(402).send({ message: 'pay first' }),
  }, app => app.get('/free', async () => 'free'))
  for (const answer of [await put(media, content), await postBody(media, form(filePart(content)))]) {
    t.equal(answer.status, 402)
    t.strictSame(answer.body, { message: 'pay first' })
  }
  t.equal(await (await fetch(`${url}/free`)).text(), 'free')
})

t.test('a host\'s multipart that attaches fields to the body is named as the trouble', async t => {
  for (const attachFieldsToBody of [true, 'keyValues'] as const) {
    const { media, dir } = await startHost(t, {}, app => app.register(multipart, { attachFieldsToBody }))
    const answer = await postBody(media, form(filePart('small'), fieldPart('a', 'b')))
    isError(t, answer, 500, 'internal_error')
    t.match(answer.body.detail, /attachFieldsToBody/)
    t.same(await filesBelow(dir), [])
    t.equal((await put(media, content)).status, 201, 'PUT is not touched by it')
  }
  const scoped = await startHost(t, {}, app => app.register(async scope => { await scope.register(multipart, { attachFieldsToBody: true }) }))
  await bothWork(t, scoped.media)
})

t.test('routes: false leaves app.uploads alone', async t => {
  const { app, media } = await startHost(t, { routes: false })
  t.equal((await fetch(`${media.url}/uploads/a`, { method: 'PUT', body: 'x' })).status, 404)
  const { storage, track } = await app.uploads.store(Readable.from([content]), { filename: 'song.MP3' })
  t.equal(storage, 'local')
  t.match(track, { filename: 'song.MP3', sha256: sha256(content), key: /^tracks\/[0-9a-f-]{36}\.mp3$/ })
})

t.test('app.uploads.store goes to B2, falls back, and leaves nothing of a source that fails', async t => {
  const b2 = await startB2(t)
  const dir = t.testdir()
  const { app } = await startHost(t, { ...optionsFromEnv({ ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', LOCAL_STORAGE_DIR: dir, BREAKER_THRESHOLD: '0' }) })
  const large = bytes(20 * MIB)
  for (const data of [content, large]) {
    const chunks = Array.from({ length: Math.ceil(data.byteLength / 100_000) }, (_, index) => data.subarray(index * 100_000, (index + 1) * 100_000))
    const stored = await app.uploads.store(Readable.from(chunks), { filename: 'a.flac', contentType: 'audio/flac', metadata: { by: 'host' } })
    t.equal(stored.storage, 'b2')
    t.match(stored.track, { sha256: sha256(data), metadata: { by: 'host' }, content_type: 'audio/flac' })
    t.equal(b2.objects().find(({ key }) => key === stored.location)?.sha256, sha256(data))

    b2.fault({ status: 400, code: 'InvalidArgument', times: Infinity })
    const fallback = await app.uploads.store(Readable.from(chunks), { filename: 'a.flac' })
    t.match(fallback, { storage: 'local', fallback_from_b2: true, fallback_reason: { error_code: 'invalid_request' }, track: { sha256: sha256(data) } })
    b2.clearFaults()
    b2.reset()

    const files = await filesBelow(dir)
    async function * failing (): AsyncGenerator<Uint8Array> {
      yield * chunks.slice(0, -1)
      throw new Error('the source broke')
    }
    await t.rejects(app.uploads.store(Readable.from(failing())), { name: 'UploadError', error_code: 'malformed_upload', cause: { message: 'the source broke' } })
    await t.rejects(app.uploads.store(Readable.from(chunks).destroy()), { name: 'UploadError', error_code: 'malformed_upload' })
    while (b2.unfinishedUploads().length > 0) await b2.waitFor('response')
    t.same(b2.versions(), [])
    t.same(await filesBelow(dir), files)
  }
})

t.test('app.uploads.store says what it takes, and takes nothing else', async t => {
  const { app, dir } = await startHost(t)
  const readable = (): Readable => Readable.from(['x'])
  for (const source of [undefined, null, 'text', content, new Blob(['x']), new Blob(['x']).stream(), [content]]) {
    await t.rejects(app.uploads.store(source as never), { name: 'TypeError', message: /takes a Readable stream: use Readable\.from\(\)/ })
  }
  for (const [info, message] of [
    [null, /info of store\(\) must be an object/],
    ['song.mp3', /info of store\(\) must be an object/],
    [{ filename: 5 }, /info\.filename of store\(\) must be a text/],
    [{ contentType: null }, /info\.contentType of/],
    [{ correlationId: 5 }, /info\.correlationId of/],
    [{ size: -1 }, /info\.size of store\(\) must be a whole number of bytes/],
    [{ size: 1.5 }, /info\.size of/],
    [{ metadata: { track: 1 } }, /info\.metadata of store\(\) must be an object whose values are texts/],
    [{ metadata: null }, /info\.metadata of/],
    [{ metadata: 'x' }, /info\.metadata of/],
  ] as const) await t.rejects(app.uploads.store(readable(), info as never), { name: 'TypeError', message })
  t.same(await filesBelow(dir), [])
  t.equal((await app.uploads.store(readable(), { filename: 'a', contentType: 'text/plain', correlationId: 'b', size: 1, metadata: { c: 'd' } })).track.size_bytes, 1)
})

t.test('app.uploads.store destroys a source that it did not store', async t => {
  const { app } = await startHost(t, { maxBytes: 10 })
  const source = Readable.from([bytes(11), bytes(1)])
  await t.rejects(app.uploads.store(source), { name: 'UploadError', error_code: 'file_too_large' })
  t.ok(source.destroyed)
})

t.test('app.uploads.store refuses a stream that somebody has read to its end', async t => {
  const { app, dir } = await startHost(t)
  const source = new PassThrough({ autoDestroy: false })
  source.end(content)
  await source.resume().on('end', () => {}).toArray().catch(() => {})
  await t.rejects(app.uploads.store(source), { error_code: 'malformed_upload', cause: { message: 'The source had been read to its end before.' } })
  t.same(await filesBelow(dir), [])
})

t.test('app.uploads.store refuses a file that the host\'s form parser has cut off', async t => {
  const { url, dir } = await startHost(t, {}, async app => {
    await app.register(multipart, { limits: { fileSize: 1_000_000 } })
    app.post('/own', async request => await app.uploads.store((await request.file({ throwFileSizeLimit: false }))!.file))
  })
  const send = async (size: number) => await fetch(`${url}/own`, {
    method: 'POST', body: form(filePart(bytes(size))), headers: { 'content-type': 'multipart/form-data; boundary=the-boundary-of-this-form' },
  })
  const cut = await send(1_000_001)
  t.equal(cut.status, 413)
  t.match(await cut.json(), { message: /cut off by the form parser/ })
  t.same(await filesBelow(dir), [])
  t.match(await (await send(1_000_000)).json(), { storage: 'local', track: { size_bytes: 1_000_000 } })
})

t.test('app.uploads.content refuses ranges that are not whole', async t => {
  const { app } = await startHost(t)
  const { track: { key } } = await app.uploads.store(Readable.from([content]))
  const name = key.slice('tracks/'.length)
  for (const [first, last] of [[0.5, 3], [0, 3.5], ['0', '3'], [0, NaN], [-1, 3], [3, 2], [0, content.byteLength]]) {
    await t.rejects(app.uploads.content(name, { first, last } as never), { name: 'UploadError', error_code: 'range_not_satisfiable' })
  }
  t.equal((await app.uploads.content(name, { first: 0, last: content.byteLength - 1 })).stream.destroy().destroyed, true)
})

t.test('app.uploads.store takes strings, too, and says of all else that it is no bytes', async t => {
  const { app, dir } = await startHost(t)
  const receipt = await app.uploads.store(Readable.from(['Mü', 'sik']), { filename: 'a.txt' })
  t.match(receipt.track, { size_bytes: 6, sha256: sha256(Buffer.from('Müsik')) })
  const files = await filesBelow(dir)
  await t.rejects(app.uploads.store(Readable.from([{ an: 'object' }])), { error_code: 'malformed_upload', cause: { message: 'The source gives neither bytes nor strings.' } })
  t.same(await filesBelow(dir), files)
})

t.test('Location has the prefix, without its last slash, and with what stands in the URL for parameters', async t => {
  for (const [prefix, base] of [['/media', '/media'], ['/media/', '/media'], ['/', ''], ['/:tenant/files', '/acme/files']] as const) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(b2Uploads, { prefix, local: { dir: t.testdir() } })
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    for (const { status, headers, body } of [await put({ url: `${url}${base}` }, content, 'uploads'), await postBody({ url: `${url}${base}` }, form(filePart(content)))]) {
      t.equal(status, 201)
      const location = headers.get('location')!
      t.equal(location, `${base}/uploads/${body.track.key.slice('tracks/'.length)}`)
      t.equal((await fetch(`${url}${location}`)).status, 200)
    }
  }
})

t.test('an app over HTTP/2 answers early refusals without a warning', async t => {
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(b2Uploads, { local: { dir: t.testdir() }, maxBytes: 10 })
  const client = connect(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.teardown(() => client.destroy())
  const request = client.request({ ':method': 'PUT', ':path': '/uploads/a' })
  request.write(bytes(100))
  const [headers] = await once(request, 'response')
  t.equal(headers[':status'], 413)
  request.end()
  t.match(JSON.parse(Buffer.concat(await request.toArray()).toString()), { error_code: 'file_too_large' })
  t.same(warnings.filter(({ message }) => message.includes('connection')), [])
})

t.test('two scopes of one app each have their own', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const dirs = { a: join(t.testdir(), 'a'), b: join(t.testdir(), 'b') }
  for (const [name, dir] of Object.entries(dirs)) {
    await app.register(async scope => { await scope.register(b2Uploads, { prefix: `/${name}`, local: { dir }, keyPrefix: `${name}/` }) })
  }
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  for (const name of ['a', 'b'] as const) {
    await bothWork(t, { url: `${url}/${name}` })
    const files = await filesBelow(dirs[name])
    t.equal(files.length, 4)
    t.ok(files.every(file => file.startsWith(`${name}/`)))
  }
})

t.test('one scope can have it twice, beside decorators and schemas of the host with the plugin\'s own names', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  for (const name of ['b2', 'localStore', 'config']) app.decorate(name, 'of the host')
  app.addSchema({ $id: 'Receipt', type: 'string' })
  const dirs = { uploads: join(t.testdir(), 'a'), avatars: join(t.testdir(), 'b') }
  await app.register(b2Uploads, { local: { dir: dirs.uploads } })
  await app.register(b2Uploads, { local: { dir: dirs.avatars }, prefix: '/avatars', decoratorName: 'avatars', maxBytes: 10 })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  await bothWork(t, { url })
  isError(t, await put({ url: `${url}/avatars` }, content), 413, 'file_too_large')
  const receipt = await app.getDecorator<Uploads>('avatars').store(Readable.from(['me']))
  t.equal(receipt.storage, 'local')
  t.equal((await filesBelow(dirs.avatars)).length, 2)
  t.equal((await filesBelow(dirs.uploads)).length, 4)
})
