/** Local storage did not answer in time: its disk hangs. */
export class DiskTimeoutError extends Error {
  override readonly name = 'DiskTimeoutError'
  readonly code = 'ETIMEDOUT'
  readonly syscall: string
  /** Resolves when the operation has returned after all, and nothing of it will follow; at once when it never began. */
  readonly settled: Promise<void>

  /** @param deadlineMs of the operation; without it the operation was not begun, as others hang */
  constructor (call: string, deadlineMs?: number, settled = Promise.resolve()) {
    super(deadlineMs === undefined ? 'it does not answer' : `it did not answer within ${deadlineMs} ms`)
    this.syscall = call
    this.settled = settled
  }
}

/** The errno name of an error, if it has one. Node's own `ERR_…` codes don't count. */
export function errnoOf (error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined
}
