import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import service, { serverOptions } from '../app.ts'

// Writes the OpenAPI document that the service serves to openapi.json.
const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-openapi-'))
const env = { LOCAL_STORAGE_DIR: dir, LOG_LEVEL: 'silent' }
const app = Fastify(serverOptions(env))
try {
  await app.register(service, { env })
  await app.ready()
  await writeFile(new URL('../openapi.json', import.meta.url), `${JSON.stringify(app.swagger(), null, 2)}\n`)
} finally {
  await app.close()
  await rm(dir, { recursive: true, force: true })
}
