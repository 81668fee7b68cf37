import { CONTESTANTS } from './contestants.mjs'

const MB = 1_000_000
const GB = 1_000_000_000

const MEASURES = {
  cpuPerGb: cell => cell.cpuSeconds / (cell.bytes / GB),
  megabytesPerSecond: cell => cell.bytes / MB / cell.wallSeconds,
  requestsPerSecond: cell => cell.files / cell.wallSeconds,
  p50Ms: cell => cell.p50Ms,
  p99Ms: cell => cell.p99Ms,
  diskMegabytes: cell => cell.diskBytes / MB,
  peakMegabytes: cell => cell.peakBytes / MB,
}

/**
 * One row for each workload and server: medians over the rounds, and `ratios` to the peer, each the median of the
 * ratios within a round, since what else the machine does differs from round to round.
 *
 * @param {object[]} cells what was measured, each with `workload`, `contestant`, `peer`, `round`, `tls`
 */
export function summarize (cells) {
  const rows = new Map()
  for (const cell of cells) {
    const name = `${cell.workload} ${cell.tls} ${cell.contestant}`
    rows.set(name, [...rows.get(name) ?? [], cell])
  }
  return Array.from(rows.values(), own => {
    const { workload, contestant, peer, tls, what } = own[0]
    const measured = own.filter(cell => cell.error === undefined)
    const peerIn = new Map(cells
      .filter(cell => cell.workload === workload && cell.tls === tls && cell.contestant === peer && cell.error === undefined)
      .map(cell => [cell.round, cell]))
    const over = of => Object.fromEntries(Object.entries(MEASURES).map(([name, measure]) => [name, median(of(measure))]))
    return {
      workload,
      what,
      tls,
      contestant,
      rounds: measured.length,
      ...over(measure => measured.map(measure)),
      ratios: contestant === peer ? undefined : over(measure => measured.map(cell => measure(cell) / measure(peerIn.get(cell.round) ?? {}))),
      trouble: own.map(troubleOf).find(trouble => trouble !== undefined),
    }
  })
}

/** Why a cell is incomplete, as text; undefined if every byte of every file arrived. */
export function troubleOf ({ error, failed, failures, arrived, files }) {
  if (error !== undefined) return error
  if (failed > 0) return `${failed} failed: ${Object.entries(failures).map(([why, count]) => `${count} × ${why}`).join(', ')}`
  if (arrived.missing + arrived.wrong > 0) return `${arrived.missing} missing, ${arrived.wrong} of another size`
  return files === 0 ? 'nothing was stored' : undefined
}

/** The table for people. */
export function markdown (rows) {
  const header = ['workload', 'store', 'server', 'CPU-s/GB', 'ratio', 'MB/s', 'ratio', 'requests/s', 'p50 ms', 'p99 ms', 'peak RSS MB', 'ratio', 'disk MB', 'every byte arrived']
  return table(header, rows.map((row, index) => {
    const ratio = name => row.ratios === undefined ? '' : shown(row.ratios[name], 2)
    const isNew = rows[index - 1]?.workload !== row.workload
    return [
      isNew ? row.what : '',
      row.workload.startsWith('local') ? 'disk' : row.tls ? 'https' : 'http',
      CONTESTANTS[row.contestant].title,
      shown(row.cpuPerGb, 2), ratio('cpuPerGb'),
      shown(row.megabytesPerSecond, 0), ratio('megabytesPerSecond'),
      shown(row.requestsPerSecond, 1),
      shown(row.p50Ms, 0), shown(row.p99Ms, 0),
      shown(row.peakMegabytes, 0), ratio('peakMegabytes'),
      shown(row.diskMegabytes, 0),
      row.trouble === undefined ? 'yes' : `NO: ${row.trouble}`,
    ]
  }))
}

/** What happened to the slow clients; an empty text if there were none. */
export function slowClients (cells) {
  const rows = cells.filter(cell => cell.slow !== undefined).map(({ contestant, round, slow: { clients, sending, ended }, bytes, wallSeconds }) => {
    const { '503 overloaded': refused = 0, ...others } = ended
    return [
      CONTESTANTS[contestant].title, round + 1, clients, sending, refused,
      Object.entries(others).map(([why, count]) => `${count} × ${why}`).join(', ') || '0', shown(bytes / MB / wallSeconds, 0),
    ]
  })
  return rows.length === 0 ? '' : table(['server', 'round', 'slow clients', 'still sending at the end', 'ended with 503', 'ended otherwise', 'MB/s of the fast'], rows)
}

/** Memory over time; an empty text if it was not watched. */
export function memoryOverTime (cells) {
  const rows = cells.filter(cell => cell.memory !== undefined).flatMap(({ memory, contestant, files, wallSeconds }) =>
    memory.map(({ seconds, bytes }, index) => [
      CONTESTANTS[contestant].title,
      shown(seconds, 0),
      shown(bytes / MB, 0),
      index < memory.length - 1 ? `${shown(Math.min(seconds / wallSeconds, 1) * files, 0)} files or so` : 'idle since the row above',
    ]))
  return rows.length === 0 ? '' : table(['server', 'seconds', 'RSS MB', 'after'], rows)
}

function table (header, rows) {
  return [header, header.map(() => '---'), ...rows].map(row => `| ${row.join(' | ')} |`).join('\n')
}

function median (numbers) {
  const sorted = numbers.filter(Number.isFinite).sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

function shown (number, digits) {
  return Number.isFinite(number) ? number.toFixed(digits) : '–'
}
