import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import type { Readable } from 'node:stream'
import t from 'tap'
import type { Test } from 'tap'
import { HttpRequest } from '@smithy/core/protocols'
import { B2RequestHandler, ABORT_SIGNAL, STREAMED_ANSWER } from '../../../../services/b2/http/request-handler.ts'
import type { RequestHandlerOptions } from '../../../../services/b2/http/request-handler.ts'
import { startB2 } from '../../../support/service/service.ts'
import { startScriptedServer } from '../../../support/b2/scripted-server.ts'
import { acceptedTls } from '../../../support/clients/tls.ts'

function handlerOf (t: Test, options: Partial<RequestHandlerOptions>): B2RequestHandler {
  const handler = new B2RequestHandler({ connectTimeoutMs: 10_000, stallTimeoutMs: 10_000, ...options })
  t.teardown(() => { handler.destroy() })
  return handler
}

function requestTo (port: number, more: Partial<HttpRequest> = {}): HttpRequest {
  return new HttpRequest({ protocol: 'http:', hostname: '127.0.0.1', port, method: 'PUT', path: '/', headers: { host: 'b2' }, ...more } as never)
}

const failureOf = async (promise: Promise<unknown>): Promise<unknown> => await promise.then(() => undefined, (error: unknown) => error)

t.test('where nothing moves a request has stalled, and its connection is ended', async t => {
  const { port, sockets } = await startScriptedServer(t, () => {})
  const failed = failureOf(handlerOf(t, { stallTimeoutMs: 100 }).handle(requestTo(port)))
  t.match(await failed, { name: 'TransportError', code: 'B2_STALLED', outcomeUnknown: true })
  if (!sockets[0]!.destroyed) await once(sockets[0]!, 'close')
})

t.test('a connection that is used again is watched, too', async t => {
  const { port, sockets } = await startScriptedServer(t, (socket, received) => { if (received.split('GET').length === 2) socket.write('HTTP/1.1 204 No\r\n\r\n') })
  const handler = handlerOf(t, { stallTimeoutMs: 100 })
  await handler.handle(requestTo(port, { method: 'GET' }))
  t.match(await failureOf(handler.handle(requestTo(port, { method: 'GET' }))), { code: 'B2_STALLED' })
  t.equal(sockets.length, 1)
})

t.test('a streamed answer stalls where nothing comes that is asked for, and not while its reader pauses', async t => {
  const { port } = await startScriptedServer(t, socket => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha'))
  const { response } = await handlerOf(t, { stallTimeoutMs: 100 }).handle(Object.assign(requestTo(port, { method: 'GET' }), { [STREAMED_ANSWER]: true }))
  const body = response.body as Readable
  await new Promise(resolve => { setTimeout(resolve, 300) }) // three times what a stall takes; that nothing happens is no event
  t.equal(body.errored, null)
  t.match(await failureOf(buffer(body)), { name: 'TransportError', code: 'B2_STALLED' })
})

t.test('a streamed answer that is all there can be read whenever', async t => {
  for (const content of ['half', '']) {
    const { port } = await startScriptedServer(t, socket => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${content.length}\r\n\r\n${content}`))
    const { response } = await handlerOf(t, { stallTimeoutMs: 50 }).handle(Object.assign(requestTo(port, { method: 'GET' }), { [STREAMED_ANSWER]: true }))
    await new Promise(resolve => { setTimeout(resolve, 150) }) // as above
    t.equal(String(await buffer(response.body as Readable)), content)
  }
})

t.test('a connection that takes too long is given up, TLS included', async t => {
  const { port } = await startScriptedServer(t, () => {}) // it never says hello
  const failed = failureOf(handlerOf(t, { connectTimeoutMs: 50 }).handle(requestTo(port, { protocol: 'https:' })))
  t.match(await failed, { name: 'TransportError', code: 'B2_CONNECT_TIMEOUT', outcomeUnknown: false })
})

t.test('a connection that is there in time has no time limit, over TLS either', async t => {
  for (const protocol of ['http:', 'https:'] as const) {
    const b2 = await startB2(t, protocol === 'https:' ? { tls: acceptedTls(t) } : {})
    const handler = handlerOf(t, { connectTimeoutMs: 500 })
    // Before anything is asked again the first is over.
    for (let count = 0; count < 2; count++) {
      b2.fault({ status: 403, delayMs: 600 })
      t.equal((await handler.handle(requestTo(b2.port, { protocol, method: 'GET' }))).response.statusCode, 403)
    }
    t.equal(new Set(b2.requests.map(({ connection }) => connection)).size, 1, `${protocol} one connection for both`)
  }
})

t.test('over TLS a stall is noticed, and a cancelled request ends', async t => {
  const b2 = await startB2(t, { tls: acceptedTls(t) })
  b2.fault({ action: 'hang', times: Infinity })
  const request = { protocol: 'https:' } as const
  t.match(await failureOf(handlerOf(t, { stallTimeoutMs: 100 }).handle(requestTo(b2.port, request))), { code: 'B2_STALLED', outcomeUnknown: true })
  const controller = new AbortController()
  const hung = b2.waitFor('fault')
  const ended = b2.waitFor('response')
  const failed = failureOf(handlerOf(t, {}).handle(Object.assign(requestTo(b2.port, request), { [ABORT_SIGNAL]: controller.signal })))
  await hung
  controller.abort()
  t.match(await failed, { name: 'AbortError' })
  await ended
})

t.test('nothing is left of requests that have ended, whichever way', async t => {
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const { port } = await startScriptedServer(t, (socket, received) => received.startsWith('GET') ? socket.write('HTTP/1.1 204 No\r\n\r\n') : socket.destroy())
  const handler = handlerOf(t, {})
  const before = timers()
  await handler.handle(requestTo(port, { method: 'GET' }))
  await failureOf(handler.handle(requestTo(port, { hostname: 'no-such-host.invalid' })))
  handler.destroy()
  await failureOf(handler.handle(requestTo(port)))
  t.ok(timers() <= before)
  t.same(handler.httpHandlerConfigs(), {})
  t.equal(handler.updateHttpClientConfig(), undefined)
})
