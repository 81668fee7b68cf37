#!/usr/bin/env node
import { clearLine, cursorTo } from 'node:readline'
import { parseArgs } from 'node:util'
import Fastify from 'fastify'
import { loadDotEnv } from './dot-env.ts'
import b2Uploads, { ConfigError, optionsFromEnv } from './index.ts'
import { missingB2, parseConfig } from './services/config.ts'
import type { PromotionProgress, PromotionReport } from './services/promotion.ts'

const HELP = `Moves files that fell back to local storage to B2: one pass, configured by the service's environment variables.

  --dry-run           says what there is to do, and does nothing
  --retry-set-aside   tries files again that were set aside
  --json              one JSON object on standard output, at the end
  --help

It can run beside the service, and several times at once: no file is promoted twice.
Exit code: 0 nothing is left to be promoted, 1 something is, 2 the options or the configuration are wrong.
`

const EXIT_LEFT = 1
const EXIT_USAGE = 2
const BAR_WIDTH = 30

process.exitCode = await main().catch((error: unknown) => {
  const isUsage = error instanceof ConfigError || String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')
  console.error(error instanceof Error ? error.message : error)
  return isUsage ? EXIT_USAGE : EXIT_LEFT
})

async function main (): Promise<number> {
  const { values: options } = parseArgs({
    options: {
      'dry-run': { type: 'boolean', default: false },
      'retry-set-aside': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (options.help) {
    console.log(HELP)
    return 0
  }
  loadDotEnv()
  const missing = missingB2(parseConfig(process.env))
  if (missing.length > 0) throw new ConfigError(missing.map(variable => ({ variable, message: 'is missing' })))
  const settings = optionsFromEnv()

  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  const app = Fastify()
  try {
    await app.register(b2Uploads, { ...settings, local: { ...settings.local, required: true }, routes: false, promoteIntervalMs: 0 })
    await app.ready()
    const report = await app.uploads.promote({
      dryRun: options['dry-run'],
      retrySetAside: options['retry-set-aside'],
      signal: stop.signal,
      ...(options.json ? {} : { onProgress: process.stdout.isTTY ? drawBar : printLine }),
    })
    console.log(options.json ? JSON.stringify(report) : summary(report, options['dry-run']))
    return report.pending === 0 ? 0 : EXIT_LEFT
  } finally {
    await app.close()
  }
}

function printLine (progress: PromotionProgress): void {
  const { outcome, key, size_bytes, detail } = progress
  if (outcome === undefined) return
  console.log(`${count(progress)} ${outcome.replace('_', ' ')} ${key} (${size_bytes} bytes)${detail === undefined ? '' : `: ${detail}`}`)
}

/** One line that is drawn again and again; what ended otherwise than well gets a line of its own. */
function drawBar (progress: PromotionProgress): void {
  const { outcome, key, bytes, size_bytes } = progress
  clearLine(process.stdout, 0)
  cursorTo(process.stdout, 0)
  if (outcome !== undefined && outcome !== 'promoted') return printLine(progress)
  const share = size_bytes === 0 || outcome !== undefined ? 1 : bytes / size_bytes
  const full = Math.round(share * BAR_WIDTH)
  process.stdout.write(`${count(progress)} [${'='.repeat(full)}${' '.repeat(BAR_WIDTH - full)}] ${key}${outcome === undefined ? '' : '\n'}`)
}

function count ({ done, total }: PromotionProgress): string {
  return `${done}/${total}`
}

function summary ({ promoted, failed, set_aside: setAside, skipped, pending, bytes }: PromotionReport, dryRun: boolean): string {
  if (dryRun) return `${pending} to be promoted, ${setAside} of them set aside; ${bytes} bytes.`
  return `${promoted} promoted (${bytes} bytes), ${failed} failed, ${skipped} skipped, ${setAside} set aside; ${pending} left.`
}
