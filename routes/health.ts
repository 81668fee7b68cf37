import type { FastifyPluginAsync } from 'fastify'

/** `GET /health`: the process lives. No I/O. */
const health: FastifyPluginAsync = async app => {
  app.get('/health', async () => ({ status: 'ok' }))
}

export default health
