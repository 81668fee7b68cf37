import Fastify from 'fastify'
import t from 'tap'
import service, { serverOptions } from '../../../app.ts'
import type { UploadService } from '../../../services/uploads.ts'
import { connect, isError } from '../../support/clients/raw-http.ts'
import { b2Env, bytes, createLogBook, put, startB2, startService } from '../../support/service/service.ts'

const MIB = 1_048_576

t.test('an unknown route or method gets 404 in the service\'s shape', async t => {
  const { url } = await startService(t)
  for (const [method, path] of [
    ['GET', '/'], ['GET', '/nowhere?x=1'], ['PATCH', '/uploads'], ['GET', '/uploads'], ['PUT', '/uploads'], ['POST', '/uploads/x'], ['DELETE', '/health'],
    ['OPTIONS', '/uploads'], ['PROPFIND', '/uploads'], ['POST', '/health'],
  ] as const) {
    const response = await fetch(`${url}${path}`, { method })
    isError(t, { status: response.status, headers: response.headers, body: await response.json() }, 404, 'not_found')
  }
  const head = await fetch(`${url}/nowhere`, { method: 'HEAD' })
  t.equal(head.status, 404)
  t.ok(head.headers.get('x-correlation-id'))
})

t.test('what never becomes a request gets an answer in the service\'s shape, and the connection is closed', async t => {
  const running = await startService(t)
  const long = 'x'.repeat(20_000)
  const cases: [name: string, bytes: string | Uint8Array, status: number][] = [
    ['garbage', 'GARBAGE\r\n\r\n', 400],
    ['bytes of another protocol', Buffer.from('16030100c8010000c40303', 'hex'), 400],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['an unknown method', 'FROB / HTTP/1.1\r\nhost: x\r\n\r\n', 400],
    ['an unknown version', 'GET / HTTP/9.9\r\nhost: x\r\n\r\n', 400],
    ['a space in a header name', 'GET / HTTP/1.1\r\nhost: x\r\na b: c\r\n\r\n', 400],
    ['a control character in a header', 'GET / HTTP/1.1\r\nhost: x\r\na: \u0001\r\n\r\n', 400],
    ['a huge header', `GET / HTTP/1.1\r\nhost: x\r\na: ${long}\r\n\r\n`, 431],
    ['many headers', `GET / HTTP/1.1\r\nhost: x\r\n${'a: b\r\n'.repeat(20_000)}\r\n`, 431],
    ['a huge URL', `GET /${long} HTTP/1.1\r\nhost: x\r\n\r\n`, 431],
    ['a length that is no number', 'PUT /uploads/a HTTP/1.1\r\nhost: x\r\ncontent-length: ten\r\n\r\n', 400],
    ['a negative length', 'PUT /uploads/a HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n', 400],
    ['two lengths', 'PUT /uploads/a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n', 400],
    ['a length and chunks', 'PUT /uploads/a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n', 400],
    ['an unknown transfer encoding', 'PUT /uploads/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: zip\r\n\r\n', 400],
    ['a bad chunk', 'PUT /uploads/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n', 400],
    ['a huge chunk extension', `PUT /uploads/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3;${long}\r\nabc\r\n`, 413],
    ['a bad chunk in a form', 'POST /uploads HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\ntransfer-encoding: chunked\r\n\r\n3\r\n--b\r\nzz\r\n', 400],
    ['no Host', 'GET /health HTTP/1.1\r\n\r\n', 400],
    ['a bad percent-encoding', 'GET /%zz HTTP/1.1\r\nhost: x\r\n\r\n', 400],
    ['a bad percent-encoding of UTF-8', 'PUT /uploads/%ff%fe HTTP/1.1\r\nhost: x\r\n\r\n', 400],
    ['an Expect header that nobody knows', 'PUT /uploads/a HTTP/1.1\r\nhost: x\r\nexpect: miracles\r\ncontent-length: 3\r\n\r\nabc', 417],
    ['an Expect header without a body', 'GET /health HTTP/1.1\r\nhost: x\r\nexpect: miracles\r\n\r\n', 417],
  ]
  for (const [name, sent, status] of cases) {
    await t.test(name, async t => {
      const client = await connect(t, running)
      await client.send(sent)
      isError(t, await client.answer(), status, 'invalid_request')
      client.socket.end()
      t.equal(await client.rest(), '', 'nothing follows it')
    })
  }
  await t.test('garbage behind a good request', async t => {
    const client = await connect(t, running)
    await client.send('GET /health HTTP/1.1\r\nhost: x\r\n\r\n')
    t.same((await client.answer())?.body, { status: 'ok' })
    await client.send('GARBAGE\r\n\r\n')
    isError(t, await client.answer(), 400, 'invalid_request')
  })
  await t.test('headers that end in the middle', async t => {
    const client = await connect(t, running)
    client.socket.end('GET /health HTTP/1.1\r\nhost: x\r\nx-y')
    isError(t, await client.answer(), 400, 'invalid_request')
  })
  await t.test('a protocol that the client would rather speak is ignored', async t => {
    const client = await connect(t, running)
    await client.send('GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
    isError(t, await client.answer(), 404, 'not_found')
  })
  await t.test('CONNECT is no request of ours and gets no answer in any shape', async t => {
    const client = await connect(t, running)
    await client.send('CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n')
    const text = await client.rest()
    if (text !== '') t.match(text, /"error_code":"/)
    else t.pass('the connection was closed')
  })
  await t.test('HTTP/1.0 needs no Host', async t => {
    const client = await connect(t, running)
    await client.send('GET /health HTTP/1.0\r\n\r\n')
    t.equal((await client.answer())?.status, 200)
  })
  t.same(await running.localFiles(), [])
  t.equal((await put(running, bytes(10))).status, 201, 'and the service goes on')
})

t.test('the correlation id of a request survives when its body can\'t be read', async t => {
  const running = await startService(t)
  const client = await connect(t, running)
  await client.send('PUT /uploads/a HTTP/1.1\r\nhost: x\r\nx-correlation-id: mine\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n')
  while (running.app.uploads.inFlight === 0) await new Promise(resolve => setImmediate(resolve))
  await client.send('zz\r\n')
  const answer = await client.answer()
  isError(t, answer, 400, 'invalid_request')
  t.equal(answer?.headers.get('x-correlation-id'), 'mine')
  client.socket.end()
  await running.log.until(({ event }) => event === 'upload.failed')
  t.match(running.log.of('upload.failed'), [{ level: 40, correlation_id: 'mine', error_code: 'invalid_request', size_bytes: 3 }], 'the log says the same')
  t.same(running.log.of('upload.aborted'), [])
})

t.test('a client that closes its side before its last byte has gone, and gets no answer', async t => {
  const running = await startService(t)
  const client = await connect(t, running)
  await client.send('PUT /uploads/a HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n123')
  while (running.app.uploads.inFlight === 0) await new Promise(resolve => setImmediate(resolve))
  client.socket.end()
  t.equal(await client.rest(), '')
  await running.log.until(({ event }) => event === 'upload.aborted')
  t.same(running.log.of('upload.failed'), [])
  t.same(await running.localFiles(), [])
})

t.test('Expect: 100-continue is answered before the body', async t => {
  const client = await connect(t, await startService(t))
  await client.send('PUT /uploads/a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n')
  await client.send('abc')
  t.equal((await client.answer())?.status, 201)
})

t.test('an error inside the service tells the client nothing of itself', async t => {
  const log = createLogBook()
  const env = { LOCAL_STORAGE_DIR: t.testdir() }
  const app = Fastify({ ...serverOptions(env), logger: { level: 'info', stream: log.stream } })
  await app.register(service, { env })
  const thrown: Record<string, unknown> = {
    error: new Error('the-inner-detail'),
    status: Object.assign(new Error('the-inner-detail'), { statusCode: 502, expose: true }),
    string: 'the-inner-detail',
    object: { detail: 'the-inner-detail' },
    null: null,
  }
  app.get('/boom/:what', async (request) => { throw thrown[(request.params as { what: string }).what] })
  app.get('/sync/:what', (request) => { throw thrown[(request.params as { what: string }).what] })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  for (const path of ['boom', 'sync']) {
    for (const what of Object.keys(thrown)) {
      const response = await fetch(`${url}/${path}/${what}`)
      const body = await response.json() as { correlation_id: string }
      isError(t, { status: response.status, headers: response.headers, body }, 500, 'internal_error')
      t.notMatch(JSON.stringify(body), /inner-detail|stack|\.ts/)
      const line = await log.until(({ correlation_id: id, level }) => id === body.correlation_id && level === 50)
      if (what === 'error') t.match(JSON.stringify(line), /the-inner-detail/, 'the log has it')
    }
  }
  ;(app.uploads as UploadService).receive = async () => { throw new Error('the-inner-detail') }
  for (const size of [10, 20 * MIB]) {
    const answer = await put({ url }, bytes(size))
    isError(t, answer, 500, 'internal_error')
    t.notMatch(JSON.stringify(answer.body), /inner-detail/)
  }
})

t.test('while it shuts down, an upload is told so, and one under way comes to its end', async t => {
  const b2 = await startB2(t)
  const running = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', SHUTDOWN_GRACE_MS: '10000' })
  const [busy, idle, other] = await Promise.all([connect(t, running), connect(t, running), connect(t, running)])
  await busy.send('PUT /uploads/a.bin HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345')
  while (running.app.uploads.inFlight === 0) await new Promise(resolve => setImmediate(resolve))
  const closed = running.app.close()
  await idle.send('PUT /uploads/b.bin HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc')
  const refused = await idle.answer()
  isError(t, refused, 503, 'shutting_down')
  t.match(refused?.headers.get('retry-after'), /^[1-9]\d*$/)
  await other.send('GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n')
  isError(t, await other.answer(), 404, 'not_found')
  await busy.send('67890')
  t.equal((await busy.answer())?.status, 201)
  await closed
  t.equal(b2.objects().length, 1)
})

t.test('an upload that does not end within the grace is told so, too, and leaves nothing', async t => {
  const running = await startService(t, { SHUTDOWN_GRACE_MS: '100' })
  const busy = await connect(t, running)
  await busy.send('PUT /uploads/a.bin HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345')
  while (running.app.uploads.inFlight === 0) await new Promise(resolve => setImmediate(resolve))
  const closed = running.app.close()
  isError(t, await busy.answer(), 503, 'shutting_down')
  busy.socket.end()
  await closed
  t.same(await running.localFiles(), [])
})
