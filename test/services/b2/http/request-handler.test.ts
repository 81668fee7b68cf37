import { getEventListeners, once } from 'node:events'
import http from 'node:http'
import type { Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { Readable } from 'node:stream'
import t from 'tap'
import type { Test } from 'tap'
import { HttpRequest } from '@smithy/core/protocols'
import { B2RequestHandler, ABORT_SIGNAL, NEW_CONNECTION, STREAMED_ANSWER, TransportError } from '../../../../services/b2/http/request-handler.ts'
import type { HandlerWishes, RequestHandlerOptions } from '../../../../services/b2/http/request-handler.ts'
import { startScriptedServer } from '../../../support/b2/scripted-server.ts'

const OK = 'HTTP/1.1 200 Fine\r\nx-one: 1\r\ncontent-length: 2\r\n\r\nok'

interface Asked extends HandlerWishes {
  method?: string
  path?: string
  query?: Record<string, string>
  headers?: Record<string, string>
  body?: Uint8Array | string
  hostname?: string
}

/** A handler, and a server which answers as the function does that gets all that came over a connection. */
async function setUp (t: Test, onData: (socket: Socket, received: string, connection: number) => void, options: Partial<RequestHandlerOptions> = {}) {
  const server = await startScriptedServer(t, onData)
  const handler = new B2RequestHandler({ connectTimeoutMs: 10_000, stallTimeoutMs: 10_000, ...options })
  t.teardown(() => { handler.destroy() })
  const ask = async ({ method = 'GET', path = '/', query = {}, headers = {}, body, hostname = '127.0.0.1', ...wishes }: Asked = {}) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const request = new HttpRequest({ protocol: 'http:', hostname, port: server.port, method, path, query, headers: { host: 'b2', ...length, ...headers }, body })
    const { response } = await handler.handle(Object.assign(request, wishes))
    return response
  }
  return { server, handler, ask }
}

/** Answers each request that has no body. */
const answering = (answer: string) => (socket: Socket, received: string): void => { if (received.endsWith('\r\n\r\n')) socket.write(answer) }

const failureOf = async (promise: Promise<unknown>): Promise<unknown> => await promise.then(() => undefined, (error: unknown) => error)

t.test('a request is sent as it is, and its answer read whole', async t => {
  const { server, ask } = await setUp(t, answering(OK))
  const { statusCode, reason, headers, body } = await ask({ path: '/a%20b', query: { list: '', prefix: 'x/y' }, headers: { 'x-own': 'yes' } })
  t.same({ statusCode, reason, headers, text: String(body) }, { statusCode: 200, reason: 'Fine', headers: { 'x-one': '1', 'content-length': '2' }, text: 'ok' })
  await ask({ path: '/plain' })
  t.match(server.received[0], /^GET \/a%20b\?list=&prefix=x%2Fy HTTP\/1\.1\r\nhost: b2\r\nx-own: yes\r\n(.*\r\n)*\r\nGET \/plain HTTP/)
})

t.test('bodies arrive as they are, whatever their size', async t => {
  for (const body of [Buffer.alloc(0), 'text ü', Buffer.alloc(262_144, 'a'), Buffer.alloc(1_000_000, 'b')]) {
    const all = Buffer.from(body).toString('latin1')
    const { ask } = await setUp(t, (socket, received) => { if (received.endsWith(`\r\n\r\n${all}`)) socket.write(OK) })
    t.equal((await ask({ method: 'PUT', body })).statusCode, 200, `${all.length} bytes`)
  }
})

t.test('a body is handed over in slices, each when the one before was taken', async t => {
  const slices: number[] = []
  const needsDrain: boolean[] = []
  for (const name of ['write', 'end'] as const) {
    const original = http.ClientRequest.prototype[name] as (slice: Uint8Array) => unknown
    t.intercept(http.ClientRequest.prototype, name, {
      value: function (this: http.ClientRequest, slice: Uint8Array) {
        slices.push(slice.byteLength)
        needsDrain.push(this.writableNeedDrain)
        return original.call(this, slice)
      } as never,
    })
  }
  const { ask } = await setUp(t, (socket, received) => { if (received.endsWith('end')) socket.write(OK) })
  t.equal((await ask({ method: 'PUT', body: Buffer.concat([Buffer.alloc(2_000_000), Buffer.from('end')]) })).statusCode, 200)
  t.equal(slices.reduce((sum, size) => sum + size), 2_000_003)
  t.equal(Math.max(...slices), 262_144)
  t.same(needsDrain.filter(Boolean), [])
})

t.test('a connection is used again, but not for a second try, nor where a new one is wanted', async t => {
  const { server, ask } = await setUp(t, answering(OK))
  const connections: number[] = []
  for (const [headers, wishes] of [
    [{}, {}], [{ 'amz-sdk-request': 'attempt=1; max=4' }, {}], [{ 'amz-sdk-request': 'attempt=2; max=4' }, {}], [{}, { [NEW_CONNECTION]: true }], [{}, { [NEW_CONNECTION]: false }],
  ] as const) {
    await ask({ headers, ...wishes })
    connections.push(server.sockets.length)
  }
  t.same(connections, [1, 1, 2, 3, 3])
  t.match(server.received.slice(1), [/connection: close/i, /connection: close/i])
})

t.test('an answer before all was sent counts, and its connection is not used again', async t => {
  const { server, ask } = await setUp(t, socket => {
    socket.removeAllListeners('data').pause() // the body backs up
    socket.write(OK)
  })
  const closed = ask({ method: 'PUT', body: Buffer.alloc(16_000_000) }).then(async ({ statusCode }) => {
    t.equal(statusCode, 200)
    server.sockets[0]!.resume()
    await once(server.sockets[0]!, 'close')
  })
  await closed
})

t.test('an answer of 4 MiB is read, a larger one is not', async t => {
  for (const [size, expected] of [[4_194_304, undefined], [4_194_305, /too large/]] as const) {
    const { ask } = await setUp(t, answering(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n${'x'.repeat(size)}`))
    t.match(await failureOf(ask()), expected === undefined ? undefined : { name: 'TransportError', code: 'ECONNRESET', message: expected, outcomeUnknown: false })
  }
})

t.test('an error answer is read whole though a stream was asked for', async t => {
  const { ask } = await setUp(t, answering('HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno'))
  t.equal(String((await ask({ [STREAMED_ANSWER]: true })).body), 'no')
  const redirecting = await setUp(t, answering('HTTP/1.1 300 Many\r\ncontent-length: 2\r\n\r\nno'))
  t.equal(String((await redirecting.ask({ [STREAMED_ANSWER]: true })).body), 'no')
})

t.test('a streamed answer comes before it is whole, and breaks with its connection', async t => {
  const { server, ask } = await setUp(t, answering('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha'))
  const { signal } = new AbortController()
  const whole = (await ask({ [STREAMED_ANSWER]: true, [ABORT_SIGNAL]: signal })).body as Readable
  t.equal(String((await once(whole, 'data'))[0]), 'ha')
  server.sockets[0]!.write('lf')
  t.equal(String(await buffer(whole)), 'lf')
  t.same(getEventListeners(signal, 'abort'), [])
  const cut = (await ask({ [STREAMED_ANSWER]: true, [ABORT_SIGNAL]: signal })).body as Readable
  const failed = failureOf(buffer(cut))
  for (const socket of server.sockets) socket.destroy()
  t.match(await failed, { code: 'ECONNRESET' })
  t.same(getEventListeners(signal, 'abort'), [])
})

t.test('cancelling ends a request at each moment', async t => {
  const { server, ask } = await setUp(t, answering('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha'))
  const controller = new AbortController()
  const aborted = { name: 'AbortError' }
  const waiting = failureOf(ask({ [ABORT_SIGNAL]: controller.signal }))
  const { body } = await ask({ [STREAMED_ANSWER]: true, [ABORT_SIGNAL]: controller.signal })
  const streaming = failureOf(buffer(body as Readable))
  const closed = Promise.all(server.sockets.map(async socket => { await once(socket, 'close') }))
  controller.abort()
  t.match(await Promise.all([waiting, streaming]), [aborted, aborted])
  await closed
  t.match(await failureOf(ask({ [ABORT_SIGNAL]: controller.signal })), aborted)
  t.equal(server.sockets.length, 2, 'and none is begun')
  t.same(getEventListeners(controller.signal, 'abort'), [])
})

t.test('only of what stores an object, and was sent to its last byte, is the outcome unknown', async t => {
  const cut = Buffer.alloc(16_000_000) // more than both kernels' buffers hold
  const cases: [string, Asked, boolean][] = [
    ['PutObject', { method: 'PUT', body: 'x' }, true],
    ['PutObject of nothing', { method: 'PUT', body: '' }, true],
    ['PutObject without a body', { method: 'PUT' }, true],
    ['PutObject that was cut', { method: 'PUT', body: cut }, false],
    ['UploadPart', { method: 'PUT', query: { partNumber: '1', uploadId: 'x' }, body: 'x' }, false],
    ['CompleteMultipartUpload', { method: 'POST', query: { uploadId: 'x' }, body: 'x' }, true],
    ['CreateMultipartUpload', { method: 'POST', query: { uploads: '' } }, false],
    ['GetObject', { method: 'GET' }, false],
    ['AbortMultipartUpload', { method: 'DELETE', query: { uploadId: 'x' } }, false],
  ]
  for (const [name, asked, outcomeUnknown] of cases) {
    const { ask } = await setUp(t, (socket, received) => {
      if (asked.body === cut || !/\r\n\r\n$/.test(received) || received.includes('content-length: 0') || asked.body === undefined) socket.resetAndDestroy()
    })
    const error = await failureOf(ask(asked))
    t.ok(error instanceof TransportError)
    t.match(error, { code: asked.body === cut ? /ECONNRESET|EPIPE/ : 'ECONNRESET', outcomeUnknown, cause: Error }, name)
  }
})

t.test('a request that never had a connection did nothing', async t => {
  const { server, handler, ask } = await setUp(t, () => {})
  t.match(await failureOf(ask({ method: 'PUT', body: 'x', hostname: 'no-such-host.invalid' })), { name: 'TransportError', code: /ENOTFOUND|EAI_AGAIN/, outcomeUnknown: false })
  t.match(await failureOf(ask({ method: 'PUT', body: 'x', hostname: '[::1]' })), { code: 'ECONNREFUSED', outcomeUnknown: false })
  const asked = failureOf(ask({ method: 'PUT', body: 'x' }))
  while (server.received[0] === undefined || server.received[0] === '') await new Promise(resolve => { setImmediate(resolve) })
  handler.destroy()
  t.match(await asked, { name: 'TransportError', outcomeUnknown: true }, 'one that had one may have')
})
