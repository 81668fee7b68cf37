import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { CircuitBreaker } from '../../../services/circuit-breaker.ts'
import type { FoundFile, PendingFile, Waiting } from '../../../services/local/store.ts'
import { MemoryAccount } from '../../../services/memory/account.ts'
import { createPromoter } from '../../../services/promotion/promoter.ts'
import type { PromoterOptions } from '../../../services/promotion/promoter.ts'
import { newKey, newReceipt, recordingLog } from '../../fixtures/local-files.ts'

export { NOTHING_DONE as REPORT } from '../../../services/promotion/report.ts'

/** Resolves once everything that can go on without a timer has. */
export async function settled (): Promise<void> {
  for (let count = 0; count < 10; count++) await turn()
}

/** A gate that what is tested waits at. */
export function gate () {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => { open = resolve })
  return { open, opened }
}

/** A promoter of a store with these files, all of them in B2 already; what it does is noted. */
export function setPromoter (options: Partial<PromoterOptions> = {}) {
  const files = new Map<string, FoundFile>()
  const done: string[] = []
  const stage = {
    /** Of the next search, and of the next claim. */
    searching: Promise.resolve(),
    claiming: Promise.resolve(),
    /** Another process may have the file: a claim takes until it is stopped. */
    isClaimedElsewhere: false,
  }
  const local = {
    async * pending (): AsyncGenerator<PendingFile> {
      await local.count()
      for (const [key, { kind, setAside }] of files) yield { key, kind: kind === 'receipt' ? kind : 'file', setAside }
    },
    async count () {
      done.push('search')
      await stage.searching
    },
    async measure () {},
    waiting: (): Waiting => ({ files: files.size, bytes: 0, oldest: undefined, isCounted: true }),
    has: async (key: string) => files.has(key),
    markGone () {},
    async claim (key: string, stop: AbortSignal) {
      done.push(`claim ${key}`)
      if (stage.isClaimedElsewhere) return await once(stop, 'abort').then(() => undefined)
      await stage.claiming
      return { isKnown: true, release: async () => {} }
    },
    find: async (key: string) => files.get(key),
    async remove (key: string) {
      done.push(`remove ${key}`)
      files.delete(key)
    },
  }
  const { track: { size_bytes: size, sha256 } } = newReceipt(newKey())
  const b2 = {
    isForgotten: () => false,
    mayComplete: async () => false,
    head: async () => ({ size, sha256 }),
    settle: async () => {},
    retryCleanup: () => { done.push('clean up') },
  }
  const log = recordingLog()
  const breaker = new CircuitBreaker({ threshold: 0, resetMs: 1 })
  const account = new MemoryAccount({ budgetBytes: 4_194_304, windowBytes: 1_048_576, partBytes: 524_288 })
  const promoter = createPromoter({ b2, local, breaker, account, log, intervalMs: 1_000, concurrency: 1, ...options } as unknown as PromoterOptions)
  return {
    files,
    done,
    stage,
    log,
    promoter,
    /** Puts a file there; gives its key. */
    add (setAside?: string): string {
      const key = newKey()
      files.set(key, { kind: 'file', receipt: newReceipt(key), setAside })
      return key
    },
  }
}
