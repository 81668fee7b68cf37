import Fastify from 'fastify'
import b2Client from '../../../plugins/b2-client.ts'
import localStore from '../../../plugins/local-store.ts'
import uploads, { kUploads } from '../../../plugins/uploads.ts'
import uploadRoutes from '../../../routes/uploads.ts'
import { parseConfig } from '../../../services/config/config.ts'
import { optionsFromConfig } from '../../../services/config/options.ts'

/**
 * A service that is to be killed. It waits for a message before it begins, so that the next one can be kept ready, and takes
 * over what the killed one left sooner than the service does, as it has the directory to itself.
 */
const TAKE_OVER_MS = 200

process.send?.('ready')
process.once('message', start)
process.on('disconnect', () => process.exit())

async function start (): Promise<void> {
  const { b2, local, ...options } = optionsFromConfig(parseConfig(process.env))
  const app = Fastify()
  await app.register(localStore, { ...local, required: true, sweepDelayMs: TAKE_OVER_MS, claimDelayMs: TAKE_OVER_MS })
  await app.register(b2Client, { b2, keyPrefix: options.keyPrefix })
  await app.register(uploads, options)
  await app.register(uploadRoutes, { uploads: app[kUploads] })
  app.get<{ Params: { name: string } }>('/content/:name', async (request, reply) => {
    const { stream } = await app[kUploads].content(request.params.name)
    return await reply.send(stream)
  })
  process.send?.(await app.listen({ port: 0, host: '127.0.0.1' }))
}
