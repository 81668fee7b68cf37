import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'

/** False if the operating system doesn't show what a process used; then the functions below return undefined. */
export const isMeasurable = process.platform === 'linux'

const ticksPerSecond = isMeasurable ? Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })) : NaN

/** User and system time that a process has used so far, in seconds. */
export function cpuSeconds (pid) {
  if (!isMeasurable) return undefined
  // The name of the program comes first, in parentheses, and may hold anything.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** What a process has given files so far, in bytes, with its log; what was deleted again counts, too. */
export function writtenBytes (pid) {
  if (!isMeasurable) return undefined
  return Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))[1])
}

/** Memory that a process has now, in bytes. */
export function residentBytes (pid) {
  return statusBytes(pid, 'VmRSS')
}

/** Most memory that a process had since {@link resetPeak}, in bytes. */
export function peakResidentBytes (pid) {
  return statusBytes(pid, 'VmHWM')
}

export function resetPeak (pid) {
  // 5 sets the mark to what the process has now: proc_pid_clear_refs(5).
  if (isMeasurable) writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

function statusBytes (pid, field) {
  if (!isMeasurable) return undefined
  const [, kib] = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(kib) * 1_024
}
