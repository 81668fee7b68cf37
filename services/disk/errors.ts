/** The disk did not answer in time: it hangs. */
export class DiskTimeoutError extends Error {
  override readonly name = 'DiskTimeoutError'
  readonly code = 'ETIMEDOUT'
  readonly syscall: string
  /** Resolves when the operation has returned, with nothing to follow; at once if it never began. */
  readonly settled: Promise<void>

  /** @param deadlineMs of the operation; without it the operation did not begin, as others hang */
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
