import { setTimeout as sleep } from 'node:timers/promises'
import type { Remover, StoredAttempt } from './remover.ts'

/** Pauses between two looks, in milliseconds: an upload that gives way does so at once. */
const PAUSES_MS = [50, 100, 200, 400, 800, 1_600]

/** An upload that has stored its object, but not been answered, needs less: an older object was answered, or its process has died. */
const SETTLED_MS = 600_000 // 10 minutes

export interface Contender {
  readonly key: string
  readonly attempt: string
  /** B2's id of its object, if that is known. */
  readonly versionId: string | undefined
}

/**
 * Decides between uploads of one key that several processes have stored, each not knowing of the others: B2 has no conditional writes. Each calls this
 * after its object is stored and before its client is answered. It has won only if it sees no other object: of two uploads the one that looks later sees
 * both, so at most one has won. If it sees others, it waits if it is the oldest, as the others give way then; else, or if they don't, it removes what
 * it has stored.
 *
 * @returns whether it has won. A key that may not list sees the newest object alone.
 */
export async function contend (remover: Remover, { key, attempt, versionId }: Contender, signal: AbortSignal): Promise<boolean> {
  for (const pauseMs of [...PAUSES_MS, undefined]) {
    const stored = await remover.attempts(key, versionId === undefined ? undefined : { versionId, attempt })
    const own = stored.filter(each => each.attempt === attempt)
    if (own.length === stored.length) {
      await remover.removeAttempts(own.slice(1))
      return true
    }
    const isOldest = stored.at(-1)!.attempt === attempt
    if (isOldest && pauseMs !== undefined) {
      await sleep(pauseMs, undefined, { signal })
      continue
    }
    await remover.removeAttempts(own)
    await remover.removeCompanion(key, attempt)
    break
  }
  return false
}

/** Whether it is still open which of several uploads has a key. After a while what is visible has it, as a process may have died in between. */
export function isOpen (stored: readonly StoredAttempt[]): boolean {
  const attempts = new Set(stored.map(({ attempt }) => attempt))
  return attempts.size > 1 && stored.some(({ storedAt = 0 }) => Date.now() - storedAt < SETTLED_MS)
}
