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
