import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import fp from 'fastify-plugin'

type Connection = Socket & { _httpMessage?: ServerResponse | null } // missing in Node's types

const LOOK_MS = 100

/**
 * Ends connections on which no request is being answered, once the server has stopped listening. Node does that with those that are
 * idle after a request; for those on which nothing has come yet, or half a head, it would wait, and the app's `close` with it.
 */
export default fp(async app => {
  const open = new Set<Connection>()
  app.server.on('connection', (socket: Connection) => {
    if (open.has(socket)) return // it has got a new parser
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  app.addHook('preClose', async () => {
    if (!app.server.listening) return
    const timer = setInterval(() => {
      if (app.server.listening) return
      for (const socket of open) if (socket._httpMessage == null) socket.destroy()
    }, LOOK_MS)
    app.server.once('close', () => clearInterval(timer))
  })
}, { name: 'connections', fastify: '5.x' })
