import type { Borrower, MemoryAccount, MemoryLease } from '../../../services/memory/account.ts'

/** An upload as the account sees it, whose rate is the test's to set. */
export interface TestBorrower {
  readonly lease: MemoryLease
  /** What it was granted, in the order it was. */
  readonly granted: number[]
  /** How often it was told to end. */
  ends: number
  readonly ended: boolean
  rate: number | undefined
  take (bytes: number): boolean
}

export function open (account: MemoryAccount, { need = Infinity, rate }: { need?: number, rate?: number | undefined } = {}): TestBorrower {
  const borrower: Borrower = {
    need,
    rate: () => opened.rate,
    end: () => { opened.ends++ },
  }
  const lease = account.open(borrower)
  const opened: TestBorrower = {
    lease,
    granted: [],
    ends: 0,
    get ended () { return this.ends > 0 },
    rate,
    take: bytes => {
      const atOnce = lease.take(bytes, () => { opened.granted.push(bytes) })
      if (atOnce) opened.granted.push(bytes)
      return atOnce
    },
  }
  return opened
}
