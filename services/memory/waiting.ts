import type { MemoryLease } from './lease.ts'

/** An upload that waits for memory. */
export interface Waiter {
  readonly lease: MemoryLease
  readonly bytes: number
  readonly since: number
  readonly granted: () => void
}

/** What small uploads have at most: 1 MiB. */
export const SMALL_BYTES = 1_048_576
/** Of an upload of which nothing is known yet: 64 KiB. */
export const FIRST_BYTES = 65_536
/** Who has waited for so long may keep others from passing. */
export const PATIENCE_MS = 1_000
// For five seconds in thirty.
const BARS_FOR_MS = 5_000
const BARS_EACH_MS = 30_000

/** Small ones and those whose turn has begun first, then those that wait for one, then slow ones, then promotions. */
export function inOrder (queue: readonly Waiter[]): Waiter[] {
  const rank = ({ lease, bytes }: Waiter): number => lease.borrower.isBackground === true ? 3 : lease.isSlow ? 2 : beginsTurn(lease, bytes) ? 1 : 0
  return [...queue].sort((a, b) => rank(a) - rank(b))
}

/** Whether others may have to wait for one that waits. */
export function mayBar ({ lease, since }: Waiter, now: number): boolean {
  return !lease.isSlow && lease.borrower.isBackground !== true && now - since >= PATIENCE_MS
}

/** Whether they have to wait now. */
export function bars ({ since }: Waiter, now: number): boolean {
  return (now - since - PATIENCE_MS) % BARS_EACH_MS < BARS_FOR_MS
}

/** Whether what it asks for is more than the first bytes of one that is not small. */
export function beginsTurn (lease: MemoryLease, bytes: number): boolean {
  return !isStillSmall(lease, bytes) && lease.stage === 'window' && !hasBegun(lease)
}

/** Whether its turn has begun: it has more than its first bytes, or gives back what it has, part by part. */
export function hasBegun ({ place, held, stage }: MemoryLease): boolean {
  return place === 'room' && (held > FIRST_BYTES || stage !== 'window')
}

/** Whether it may be small, with `bytes` more. */
export function isStillSmall (lease: MemoryLease, bytes: number): boolean {
  return lease.place !== 'room' && (isSurelySmall(lease) || lease.held + bytes <= SMALL_BYTES)
}

/** Whether it can't turn out large. */
export function isSurelySmall ({ borrower: { need } }: MemoryLease): boolean {
  return need <= SMALL_BYTES
}
