import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

type Connection = Socket & { _httpMessage?: ServerResponse | null } // missing in Node's types

const OFFER = new Set(['upgrade', 'http2-settings'])

/**
 * Ignores offers to change the protocol, such as the `Upgrade: h2c` of Java's and curl's first request (RFC 9110 §7.8: a server
 * may). Node's parser takes what follows such a request for the other protocol, even if nobody accepts it, and the next request is
 * never answered. So the connection goes to a new parser, which finds the same request without the offer.
 */
export function ignoreUpgradeOffers (app: FastifyInstance): void {
  app.server.on('upgrade', (request: IncomingMessage, socket: Connection, rest: Buffer) => {
    const ignore = (): void => {}
    socket.on('error', ignore) // Node has taken its own listener off
    // Earlier requests of the connection are answered first, by the parser that read them.
    const handOver = (): void => {
      if (socket.destroyed || !socket.writable) return
      if (socket._httpMessage != null) {
        socket._httpMessage.once('close', handOver)
        return
      }
      socket.off('error', ignore)
      socket.setTimeout(0)
      socket.unshift(Buffer.concat([headWithoutOffer(request), rest]))
      app.server.emit('connection', socket)
    }
    handOver()
  })
}

function headWithoutOffer ({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const [name, value] = [rawHeaders[index]!, rawHeaders[index + 1]!]
    if (OFFER.has(name.toLowerCase())) continue
    lines.push(`${name}: ${name.toLowerCase() === 'connection' ? optionsWithoutOffer(value) : value}`)
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

/** Connection options; those that announce the offer go with it. */
function optionsWithoutOffer (options: string): string {
  return options.split(',').filter(option => !OFFER.has(option.trim().toLowerCase())).join(',')
}
