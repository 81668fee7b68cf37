import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'

const waiting = new WeakMap<IncomingMessage, ServerResponse>()

/**
 * Has clients that ask by `Expect: 100-continue` whether to send their body wait until it is about to be read: one that is
 * refused need not send it (RFC 9110 §10.1.1). Without this, Node tells each to go on at once.
 */
export function deferContinue (app: FastifyInstance): void {
  app.server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.set(request, response)
    app.routing(request, response)
  })
}

/** Tells a client that waits for it to send its body. */
export function sendContinue (request: IncomingMessage): void {
  waiting.get(request)?.writeContinue()
  waiting.delete(request)
}
