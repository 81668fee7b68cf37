import Fastify from 'fastify'
import uploadRoutes from '../../../routes/uploads.ts'
import { parseConfig } from '../../../services/config/config.ts'
import { optionsFromConfig } from '../../../services/config/options.ts'
import { createEngine } from '../../../services/engine.ts'
import { silentLog as log } from '../../../services/log.ts'

/**
 * A service that is to be killed. It waits for a message before it begins, so that the next one can be kept ready, and takes
 * over what the killed one left sooner than the service does, as it has the directory to itself.
 */
const TAKE_OVER_MS = 200

process.send?.('ready')
process.once('message', () => { void start() })
process.on('disconnect', () => process.exit())

async function start (): Promise<void> {
  const { local, ...options } = optionsFromConfig(parseConfig(process.env))
  const { uploads } = await createEngine({ ...options, log, local: { ...local, required: true, sweepDelayMs: TAKE_OVER_MS, claimDelayMs: TAKE_OVER_MS } })
  const app = Fastify()
  await app.register(uploadRoutes, { uploads, maxBytes: options.maxBytes, caller: () => '' })
  app.get<{ Params: { name: string } }>('/content/:name', async (request, reply) => {
    const { stream } = await uploads.content(request.params.name)
    return await reply.send(stream)
  })
  process.send?.(await app.listen({ port: 0, host: '127.0.0.1' }))
}
