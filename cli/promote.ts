#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import pino from 'pino'
import { loadDotEnv } from './dot-env.ts'
import { createPromotionOutput } from './promote-output.ts'
import { silenceSdkWarning } from './sdk-warning.ts'
import { ConfigError } from '../services/config/errors.ts'
import { missingB2, parseConfig } from '../services/config/config.ts'
import type { Config } from '../services/config/schema.ts'
import { DiskSlots } from '../services/disk/slots.ts'
import { createEngine } from '../services/engine.ts'
import { collectWhenIdle } from '../services/process/garbage-collection.ts'
import { onEndSignal } from '../services/process/end-signals.ts'
import type { EndSignal } from '../services/process/end-signals.ts'
import { WrongBucketError } from '../services/local/bucket.ts'
import { optionsFromConfig } from '../services/config/options.ts'
import type { PromotionReport } from '../services/promotion/promoter.ts'
import { NOTHING_DONE } from '../services/promotion/report.ts'

const HELP = `Usage: fastify-b2-uploads promote [options]

Moves files that fell back to local storage to B2, in one pass.

  --dry-run           says what there is to do, and does nothing
  --retry-set-aside   tries files, too, that were set aside
  --json              one JSON object on standard output at the end, and nothing else there
  --verbose           the log on standard error, as JSON lines, as much of it as LOG_LEVEL says
  -h, --help          this

It is configured by the environment variables of the service, and by an .env file as the service is. Run it as the
service's user. It promotes PROMOTE_CONCURRENCY files at once. It can run beside the service, and several times at once:
they share the work, and no file is promoted twice. SIGINT and SIGTERM end it at a safe point, after SHUTDOWN_GRACE_MS at
the latest. Nothing is lost however it ends.

What failed or is set aside is said on standard error, all else on standard output.

Exit code:
  0         nothing is left to be promoted, or only what another process is promoting now; with --dry-run: it could look
  1         something is left, or it could not be done
  2         the options or the configuration are wrong
  130, 143  it was ended by SIGINT or SIGTERM, and something is left
`

const EXIT_LEFT = 1
const EXIT_USAGE = 2
const EXIT_SIGNAL = 128

interface Options {
  readonly dryRun: boolean
  readonly retrySetAside: boolean
  readonly json: boolean
  readonly verbose: boolean
  readonly help: boolean
}

silenceSdkWarning()

// Who reads what is said may go before the end, as `head` does; the files are promoted all the same.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

process.exitCode = await main()

async function main (): Promise<number> {
  let options: Options
  let config: Config
  try {
    options = readOptions()
    if (options.help) {
      process.stdout.write(HELP)
      return 0
    }
    config = readConfig()
  } catch (error) {
    complain(`${messageOf(error)}\n--help tells how it is used.`)
    return EXIT_USAGE
  }
  try {
    return await run(config, options)
  } catch (error) {
    complain(messageOf(error))
    return error instanceof WrongBucketError ? EXIT_USAGE : EXIT_LEFT
  }
}

function readOptions (): Options {
  const { values } = parseArgs({
    options: {
      'dry-run': { type: 'boolean', default: false },
      'retry-set-aside': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const { 'dry-run': dryRun, 'retry-set-aside': retrySetAside, json, verbose, help } = values
  return { dryRun, retrySetAside, json, verbose, help }
}

function readConfig (): Config {
  loadDotEnv()
  const config = parseConfig(process.env)
  const missing = missingB2(config)
  if (missing.length > 0) throw new ConfigError(missing.map(variable => ({ variable, message: 'is missing' })))
  return config
}

async function run (config: Config, { dryRun, retrySetAside, json, verbose }: Options): Promise<number> {
  const dir = resolve(config.LOCAL_STORAGE_DIR)
  const { stdout, stderr } = process
  const output = createPromotionOutput({ stdout, stderr, json, dryRun, dir, terminal: process.env['TERM'] })
  if (!existsSync(dir)) {
    // The service makes it at its start, so there is none of it here, or this is not where it runs.
    complain(`There is no directory ${dir}. Is that the service's LOCAL_STORAGE_DIR?`)
    output.end(NOTHING_DONE)
    return 0
  }

  collectWhenIdle(() => false) // as many files may wait
  const stop = new AbortController()
  let endedBy: EndSignal | undefined
  onEndSignal(signal => {
    endedBy = signal
    stop.abort()
  }, signal => process.exit(exitCodeOf(signal)))

  const log = pino({ level: verbose ? config.LOG_LEVEL : 'silent' }, pino.destination({ fd: stderr.fd, sync: true }))
  const { local, ...rest } = optionsFromConfig(config)
  const slots = new DiskSlots(Number(process.env['UV_THREADPOOL_SIZE']) || undefined)
  const engine = await createEngine({ ...rest, local: { ...local, required: true, slots }, log, promoteIntervalMs: 0, isDryRun: dryRun })
  let closed: Promise<void> | undefined
  const close = async (): Promise<void> => await (closed ??= engine.close())
  let report: PromotionReport
  try {
    // Which ends a file that B2 hangs on when the grace is over; should it fail, it does so again below.
    stop.signal.addEventListener('abort', () => { close().catch(() => {}) })
    report = await engine.uploads.promote({ dryRun, retrySetAside, signal: stop.signal, onProgress: output.onProgress })
  } catch (error) {
    output.fail(messageOf(error))
    throw error
  } finally {
    await close()
  }
  output.end(report)
  if (dryRun || !isLeft(report)) return 0
  if (endedBy === undefined) return EXIT_LEFT
  complain(`${endedBy} ended it at a safe point. The rest is for the next time.`)
  return exitCodeOf(endedBy)
}

/** Whether this process leaves anything undone; what another one is promoting is that one's. */
function isLeft ({ failed, set_aside: setAside, skipped, elsewhere, pending }: PromotionReport): boolean {
  return failed + setAside > 0 || skipped > elsewhere || pending > elsewhere
}

function exitCodeOf (signal: EndSignal): number {
  return EXIT_SIGNAL + constants.signals[signal]
}

function complain (message: string): void {
  process.stderr.write(`${message}\n`)
}

function messageOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
