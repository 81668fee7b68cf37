import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import cors from '@fastify/cors'
import t from 'tap'
import type { Test } from 'tap'
import b2Uploads from '../../index.ts'
import type { B2UploadsOptions } from '../../index.ts'
import { ask, create, isRefused, patch, PIECE } from '../support/resumable/tus.ts'
import type { TusHeaders } from '../support/resumable/tus.ts'
import { bytes, startService } from '../support/service/service.ts'

const OFFERED = {
  'tus-version': '1.0.0',
  'tus-resumable': '1.0.0',
  'tus-extension': 'creation,creation-with-upload,creation-defer-length,termination,expiration',
  'tus-max-size': '1073741824',
}

t.test('OPTIONS says what is offered, to everybody', async t => {
  for (const env of [{}, { API_KEYS: 'a-key-of-a-client' }, { API_KEYS: 'a-key-of-a-client', CORS_ORIGIN: 'https://app.example' }] as Record<string, string>[]) {
    const service = await startService(t, env)
    for (const path of ['/resumable', '/resumable/a.mp3', '/resumable?x=y']) {
      const { status, headers, text } = await ask(service, 'OPTIONS', path, { 'tus-resumable': undefined })
      t.match([status, text], [204, ''])
      t.match(Object.fromEntries(headers), OFFERED, path)
    }
    t.equal((await ask(service, 'OPTIONS', '/resumable', { 'tus-resumable': '0.2.2' })).status, 204, 'with any version')
  }
})

t.test('pages of CORS_ORIGIN may send and read what tus needs', async t => {
  const service = await startService(t, { CORS_ORIGIN: 'https://app.example', API_KEYS: 'a-key-of-a-page' })
  const origin = 'https://app.example'
  const wanted = 'authorization,content-type,tus-resumable,upload-defer-length,upload-length,upload-metadata,upload-offset,x-http-method-override,x-request-id'
  for (const [method, path] of [['POST', '/resumable'], ['PATCH', '/resumable/a.mp3'], ['DELETE', '/resumable/a.mp3'], ['HEAD', '/resumable/a.mp3']]) {
    const allowed = await ask(service, 'OPTIONS', path!, { origin, 'access-control-request-method': method, 'access-control-request-headers': wanted, 'tus-resumable': undefined })
    t.equal(allowed.status, 204)
    t.match(Object.fromEntries(allowed.headers), { 'access-control-allow-origin': origin, 'access-control-allow-headers': wanted, ...OFFERED })
    t.ok(allowed.headers.get('access-control-allow-methods')?.split(', ').includes(method!))
  }
  const elsewhere = await ask(service, 'OPTIONS', '/resumable', { origin: 'https://evil.example', 'access-control-request-method': 'POST' })
  t.notOk(elsewhere.headers.has('access-control-allow-origin'))

  for (const headers of [{}, { authorization: 'Bearer a-key-of-a-page' }]) {
    const answer = await ask(service, 'POST', '/resumable', { origin, 'upload-length': 10, ...headers })
    t.equal(answer.headers.get('access-control-allow-origin'), origin, 'this service\'s own, and not one for all')
    const exposed = answer.headers.get('access-control-expose-headers')!.split(', ')
    for (const name of [
      'location', 'content-location', 'repr-digest', 'idempotency-replayed', 'retry-after', 'tus-resumable', 'tus-version', 'tus-extension', 'tus-max-size',
      'upload-offset', 'upload-length', 'upload-defer-length', 'upload-metadata', 'upload-expires',
    ]) t.ok(exposed.includes(name), name)
  }
})

t.test('every request but OPTIONS needs a key for uploads', async t => {
  const service = await startService(t, { API_KEYS: 'up:a-key-that-uploads:upload,read:a-key-that-reads:read+delete+metrics' })
  const up = { authorization: 'Bearer a-key-that-uploads' }
  const path = await create(t, service, 10, up)
  const requests: [method: string, path: string, TusHeaders][] = [
    ['POST', '/resumable', { 'upload-length': 10 }],
    ['PATCH', path, { ...PIECE, 'upload-offset': 0 }],
    ['DELETE', path, {}],
    ...['PATCH', 'DELETE', 'HEAD'].map((method): [string, string, TusHeaders] => ['POST', path, { ...PIECE, 'upload-offset': 0, 'x-http-method-override': method }]),
  ]
  for (const [method, target, headers] of requests) {
    isRefused(t, await ask(service, method, target, headers), 401, 'unauthorized')
    isRefused(t, await ask(service, method, target, { ...headers, authorization: 'Bearer a-key-that-reads' }), 403, 'forbidden')
  }
  t.equal((await ask(service, 'HEAD', path)).status, 401)
  t.match((await ask(service, 'HEAD', path, up)).headers.get('upload-offset'), '0')
  t.equal((await ask(service, 'DELETE', path, up)).status, 204, 'of an unfinished one: it is no file yet')
})

t.test('the rate limit counts uploads, not requests', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '2' })
  const path = await create(t, service, 10)
  for (let offset = 0; offset < 10; offset++) t.equal((await patch(service, path, offset, bytes(1))).status, 204)
  await create(t, service, 10)
  const refused = await ask(service, 'POST', '/resumable', { 'upload-length': 10 })
  isRefused(t, refused, 429, 'too_many_requests')
  t.match(refused.headers.get('retry-after'), /^\d+$/)
})

t.test('without resumable uploads there is nothing', async t => {
  const service = await startService(t, { RESUMABLE_MAX_AGE_MS: '0' })
  for (const [method, path] of [['POST', '/resumable'], ['OPTIONS', '/resumable'], ['PATCH', '/resumable/a'], ['HEAD', '/resumable/a'], ['DELETE', '/resumable/a']]) {
    const { status, headers } = await ask(service, method!, path!)
    t.match([status, headers.get('tus-resumable')], [404, null])
  }
})

async function startHost (t: Test, options: Partial<B2UploadsOptions>, prepare: (app: FastifyInstance) => Promise<void> = async () => {}): Promise<{ url: string }> {
  const app = Fastify()
  t.teardown(() => app.close())
  await prepare(app)
  await app.register(b2Uploads, { local: { dir: t.testdir() }, ...options })
  return { url: await app.listen({ port: 0, host: '127.0.0.1' }) }
}

t.test('in a host the paths have its prefix, and its hooks apply', async t => {
  const seen: string[] = []
  const host = await startHost(t, {
    prefix: '/of/:user',
    async preHandler ({ method, headers }: FastifyRequest, reply: FastifyReply) {
      seen.push(method)
      if (headers['x-user'] === undefined) await reply.code(418).send({ theirs: true })
    },
    onStored: (_receipt, { request }) => { seen.push(`stored for ${String(request?.headers['x-user'])}`) },
  }, async app => {
    app.addHook('onRequest', async ({ headers }) => {
      if (headers['x-banned'] !== undefined) throw Object.assign(new Error('banned'), { statusCode: 451 })
    })
    app.setErrorHandler((_error, _request, reply) => reply.code(451).send({ host: true }))
  })
  const headers = { 'x-user': 'ann' }
  const created = await ask(host, 'POST', '/of/ann/resumable', { ...headers, 'upload-length': 10 })
  const path = created.headers.get('location')!
  t.match(path, /^\/of\/ann\/resumable\/[0-9a-f-]{36}$/)
  t.same(await ask(host, 'POST', '/of/ann/resumable', { 'upload-length': 10 }).then(({ status, body }) => [status, body]), [418, { theirs: true }])
  t.same(await ask(host, 'POST', '/of/ann/resumable', { 'upload-length': 10, 'x-banned': '1' }).then(({ status, body }) => [status, body]), [451, { host: true }])
  isRefused(t, await patch(host, path, 3, bytes(1), headers), 409, 'invalid_request')
  const done = await patch(host, path, 0, bytes(10), headers)
  t.equal(done.headers.get('content-location'), path.replace('resumable', 'uploads'))
  t.ok(seen.includes('stored for ann'))
  t.equal((await fetch(`${host.url}${done.headers.get('content-location')}`, { headers })).status, 200)
  t.equal((await ask(host, 'PATCH', '/of/ann/resumable', headers)).status, 404, 'which is the host\'s own')
})

t.test('a host\'s own CORS decides, and what is offered is in its answers', async t => {
  const host = await startHost(t, {}, async app => { await app.register(cors, { origin: 'https://host.example' }) })
  const preflight = await ask(host, 'OPTIONS', '/resumable', { origin: 'https://host.example', 'access-control-request-method': 'POST' })
  t.match(Object.fromEntries(preflight.headers), { ...OFFERED, 'access-control-allow-origin': 'https://host.example' })
  const created = await ask(host, 'POST', '/resumable', { 'upload-length': 10 })
  t.equal(created.headers.get('access-control-allow-origin'), 'https://host.example')
  t.notOk((await ask(await startHost(t, {}), 'POST', '/resumable', { 'upload-length': 10 })).headers.has('access-control-allow-origin'))
})

t.test('a host that turns them off, or wants no routes, has none', async t => {
  for (const options of [{ resumable: false }, { resumable: { maxAgeMs: 0 } }, { routes: false }] as const) {
    t.equal((await ask(await startHost(t, options), 'POST', '/resumable', { 'upload-length': 10 })).status, 404)
  }
  const short = await ask(await startHost(t, { resumable: { maxAgeMs: 60_000 }, maxBytes: 99 }), 'POST', '/resumable', { 'upload-length': 10 })
  t.ok(Date.parse(short.headers.get('upload-expires')!) <= Date.now() + 60_000)
})

t.test('a hook of the host that takes the body is told of', async t => {
  const host = await startHost(t, {}, async app => {
    app.addHook('preParsing', async (request, _reply, payload) => request.headers['x-replace'] === undefined ? payload : payload.pipe(new PassThrough()))
    app.addHook('onRequest', async ({ headers, raw }) => { if (headers['x-read'] !== undefined) await once(raw, 'data') })
  })
  const path = await create(t, host, 10)
  for (const headers of [{ 'x-replace': '1' }, { 'x-read': '1' }]) {
    const answer = await patch(host, path, 0, bytes(10), headers)
    isRefused(t, answer, 500, 'internal_error')
    t.match(answer.body.detail, /hook of the app/)
  }
})
