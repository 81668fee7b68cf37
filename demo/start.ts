import { join } from 'node:path'
import Fastify from 'fastify'
import type { FastifyHttpOptions } from 'fastify'
import type { Server } from 'node:http'
import service, { serverOptions } from '../app.ts'
import { startB2Emulator } from '../emulator/index.ts'
import type { B2Emulator } from '../emulator/index.ts'
import { createB2Switch } from './b2-moods.ts'
import demoRoutes from './routes.ts'
import { watchAnswers } from './seen-files.ts'
import { PacedRequest } from './slow-line.ts'
import { createWatch } from './watch.ts'

// Its API breaks things on purpose: it is for this machine alone.
const HOST = '127.0.0.1'

export interface DemoOptions {
  /** An existing directory for the files that fall back. */
  dir: string
  /** Port to listen on; 0 for any. */
  port: number
  /** Variables of the service that differ from the demo's own. */
  env?: Record<string, string>
}

export interface Demo {
  readonly url: string
  readonly b2: B2Emulator
  close (): Promise<void>
}

/** The service with an emulated B2, a page to try it out, and a switch that breaks B2. */
export async function startDemo ({ dir, port, env: ownEnv = {} }: DemoOptions): Promise<Demo> {
  const b2 = await startB2Emulator({ host: HOST })
  // Nothing of the shell's own settings: they may name a real bucket.
  const env = {
    LOCAL_STORAGE_DIR: join(dir, 'storage'),
    B2_ENDPOINT: b2.endpoint,
    B2_REGION: b2.region,
    B2_BUCKET: b2.bucket,
    B2_APPLICATION_KEY_ID: b2.credentials.accessKeyId,
    B2_APPLICATION_KEY: b2.credentials.secretAccessKey,
    // Nobody wants to wait long for a fallback, for the recovery or for the move.
    B2_MAX_ATTEMPTS: '2',
    B2_STALL_TIMEOUT_MS: '3000',
    BREAKER_THRESHOLD: '2',
    BREAKER_RESET_MS: '5000',
    PROMOTE_INTERVAL_MS: '3000',
    SHUTDOWN_GRACE_MS: '1000',
    // Nor send hundreds of megabytes until a file can be split.
    B2_PART_BYTES: '5242880', // 5 MiB
    REPLAY_WINDOW_BYTES: '16777216', // 16 MiB
    ...ownEnv,
  }
  const options: FastifyHttpOptions<Server> = serverOptions(env)
  const app = Fastify({ ...options, http: { ...options.http, IncomingMessage: PacedRequest } })
  const b2Switch = createB2Switch(b2)
  const watch = createWatch({ b2, b2Switch, files: watchAnswers(app), uploads: () => app.uploads })

  async function close (): Promise<void> {
    watch.close()
    await app.close()
    await b2.close()
  }

  try {
    await app.register(service, { env })
    await app.register(demoRoutes, { b2Switch, watch })
    return { url: await app.listen({ host: HOST, port }), b2, close }
  } catch (error) {
    await close()
    throw error
  }
}
