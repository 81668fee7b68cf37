import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import pino from 'pino'
import service, { serverOptions } from './app.ts'
import { loadDotEnv } from './cli/dot-env.ts'
import { silenceSdkWarning } from './cli/sdk-warning.ts'
import { diskSlots } from './plugins/local-store.ts'
import { ConfigError } from './services/config/errors.ts'
import { isProduction, parseConfig } from './services/config/config.ts'
import { endDespiteHangingDisk } from './services/process/end-process.ts'
import { onEndSignal } from './services/process/end-signals.ts'
import { collectWhenIdle, tuneGarbageCollection } from './services/process/garbage-collection.ts'

// Beyond the grace of uploads: aborting those that are left, and closing connections, takes a moment too.
const CLOSE_ALLOWANCE_MS = 10_000

/** What the disk has not done by then, when the service has ended or could not start, is taken to hang. */
const HANGS_AFTER_MS = 1_000

tuneGarbageCollection()
endDespiteHangingDisk(() => diskSlots.running > 0)

silenceSdkWarning()
loadDotEnv()
const env = process.env

await start().catch((error: unknown) => {
  const log = pino()
  if (error instanceof ConfigError) log.fatal({ variables: error.variables }, error.message)
  else log.fatal({ err: error }, `the service could not start: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
  // What is under way returns soon; what hangs would keep the process.
  setTimeout(() => process.exit(), HANGS_AFTER_MS).unref()
})

async function start (): Promise<void> {
  const config = parseConfig(env)
  const app = Fastify(serverOptions(env))
  let isEnding = false
  let close = (): void => {}
  const end = (): void => {
    if (!isEnding) close()
    isEnding = true
  }
  try {
    await app.register(service, { env })
    await app.ready()
    // Before it says that it listens: whoever waits for that may end it at once.
    onEndSignal(end, () => process.exit(1))
    // For `localhost` Fastify opens a second server for ::1, which would have nothing of what the service sets up on its own.
    await app.listen({ host: config.HOST === 'localhost' ? '127.0.0.1' : config.HOST, port: config.PORT })
  } catch (error) {
    await app.close()
    throw error
  }
  let hasFailed = false
  const grace = closeWithGrace({
    delay: config.SHUTDOWN_GRACE_MS + CLOSE_ALLOWANCE_MS,
    logger: app.log,
    skip: ['SIGINT', 'SIGTERM', 'uncaughtException', 'unhandledRejection'],
  }, async () => {
    await app.close()
    await diskSlots.idle(HANGS_AFTER_MS) // what is under way returns soon
    if (hasFailed) process.exit(1)
  })
  close = () => { grace.close() }
  if (isEnding) close()
  // Its own handlers end the process at the second error, and uploads with it that could still be finished.
  for (const event of ['uncaughtException', 'unhandledRejection']) {
    process.on(event, (err: unknown) => {
      hasFailed = true
      app.log.fatal({ err }, 'uncaught error')
      end()
    })
  }
  collectWhenIdle(() => app.uploads.inFlight > 0)
  if (isProduction(config)) app.log.info({ event: 'service.started' }, 'running strictly, as ENV or NODE_ENV says production')
}
