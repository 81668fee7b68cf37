import type { PromotionProgress, PromotionReport } from '../services/promotion/report.ts'

/** As much of `process.stdout` as is needed. */
export interface OutputStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write (text: string): unknown
}

export interface OutputOptions {
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  /** One JSON object at the end rather than lines. */
  readonly json: boolean
  readonly dryRun: boolean
  /** The local directory. */
  readonly dir: string
  /** The terminal's name: a `dumb` one gets plain lines. */
  readonly terminal: string | undefined
}

/** What a pass says: what went well, and the result, on standard output; what did not on standard error. */
export interface PromotionOutput {
  onProgress (progress: PromotionProgress): void
  end (report: PromotionReport): void
  /** It could not be brought to its end. */
  fail (message: string): void
}

const BAR_WIDTH = 30
const LEAST_BAR_WIDTH = 5
/** Of terminals that don't tell. */
const USUAL_COLUMNS = 80
const ERASE_LINE = '\r\u001B[K'

const WORDS = { promoted: 'promoted', failed: 'failed', set_aside: 'set aside', skipped: 'skipped', pending: 'to be promoted', gone: 'gone' }

export function createPromotionOutput (options: OutputOptions): PromotionOutput {
  const { stdout, stderr, json } = options
  const drawsBar = stdout.isTTY === true && !json && options.terminal !== 'dumb'
  /** How much is done of each file that is under way: 0 to 1. */
  const underWay = new Map<string, number>()
  let isListBegun = false
  let isDrawn = false

  function draw (progress: PromotionProgress): void {
    const { key, bytes, size_bytes: size, outcome } = progress
    if (outcome === undefined) underWay.set(key, size > 0 ? bytes / size : 0)
    else underWay.delete(key)
    const parts = [...underWay.values()].reduce((sum, part) => sum + part, 0)
    stdout.write(ERASE_LINE + barLine(progress, parts, (stdout.columns || USUAL_COLUMNS) - 1))
    isDrawn = true
  }

  /** The object is written as it comes: there may be a million files. */
  function list (file: object): void {
    stdout.write(`${isListBegun ? ',' : '{"files":['}${JSON.stringify(file)}`)
    isListBegun = true
  }

  function endList (last: object): void {
    stdout.write(`${isListBegun ? '' : '{"files":['}],${JSON.stringify(last).slice(1)}\n`)
  }

  function erase (): void {
    if (isDrawn) stdout.write(ERASE_LINE)
    isDrawn = false
  }

  function tellEnd (progress: PromotionProgress): void {
    const { outcome, key, size_bytes, error_code, detail } = progress
    if (outcome === 'gone') return // which is good news, and in company there are many
    if (json) list({ key, outcome, size_bytes, error_code, detail })
    if (outcome === 'failed' || outcome === 'set_aside') {
      erase()
      stderr.write(fileLine(progress))
    } else if (!json && !(drawsBar && outcome === 'promoted')) {
      erase()
      stdout.write(fileLine(progress))
    }
  }

  return {
    onProgress (progress) {
      if (progress.outcome !== undefined) tellEnd(progress)
      if (drawsBar) draw(progress)
    },

    end (report) {
      erase()
      if (json) endList(report)
      else stdout.write(`${summary(report, options)}\n`)
    },

    fail (message) {
      erase()
      if (json && isListBegun) endList({ error: message })
    },
  }
}

function fileLine ({ done, total, outcome, key, size_bytes, error_code, detail }: PromotionProgress): string {
  const reason = detail === undefined ? '' : `: ${detail}${error_code === undefined ? '' : ` [${error_code}]`}`
  return `${done}/${total} ${WORDS[outcome!]} ${key} (${size_bytes} bytes)${reason}\n`
}

/** As wide as `columns` at the most: a line that wraps could not be erased. */
function barLine ({ done, total, key }: PromotionProgress, parts: number, columns: number): string {
  const count = `${done}/${total}`
  const width = Math.min(BAR_WIDTH, columns - count.length - '[] '.length)
  const full = Math.min(width, Math.floor((done + parts) / total * width))
  const bar = width < LEAST_BAR_WIDTH ? '' : `[${'='.repeat(full)}${' '.repeat(width - full)}] `
  return `${bar}${count} ${key}`.slice(0, columns)
}

function summary (report: PromotionReport, { dryRun, dir }: OutputOptions): string {
  const { promoted, failed, set_aside: setAside, skipped, elsewhere, pending, bytes } = report
  const aside = setAside > 0 ? [`${setAside} set aside`] : []
  if (pending === 0 && promoted === 0) return `Nothing to promote in ${dir}.`
  if (dryRun) return `${[`${pending - setAside} to be promoted (${bytes} bytes)`, ...aside].join(', ')} in ${dir}.`
  const waiting = pending - failed - setAside - skipped
  const left = skipped - elsewhere
  const counts = [
    `${promoted} promoted (${bytes} bytes)`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(left > 0 ? [`${left} skipped`] : []),
    ...(elsewhere > 0 ? [`${elsewhere} left to another process`] : []),
    ...aside,
    ...(waiting > 0 ? [`${waiting} not done`] : []),
  ]
  return `${counts.join(', ')}; ${pending === 0 ? 'none' : pending} left in ${dir}.`
}
