import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import { BufferPool } from '../../../services/memory/buffer-pool.ts'
import { Intake } from '../../../services/intake/intake.ts'
import type { Source } from '../../../services/intake/source.ts'
import { MemoryAccount } from '../../../services/memory/account.ts'

const MIB = 1_048_576

/** Bytes of a part. */
export const PART = 5 * MIB

export interface IntakeStage {
  readonly account: MemoryAccount
  readonly pool: BufferPool
  readonly intake: Intake
}

/** An intake of `stream`, whose client has the pace of `rate`; it ends with the test. */
export function setIntake (t: Test, stream: Readable, { rate, account = new MemoryAccount({ budgetBytes: 64 * MIB, windowBytes: 32 * MIB, partBytes: PART }), maxBytes = 1_024 * MIB, ...source }: Partial<Source> & {
  rate?: number, account?: MemoryAccount, maxBytes?: number
} = {}): IntakeStage {
  const pool = new BufferPool(64 * MIB)
  const intake = new Intake({ stream, complete: async () => ({}), ...source }, { account, pool, partBytes: PART, maxBytes, idleTimeoutMs: 60_000, minRate: 0 })
  intake.rate = () => rate
  intake.open().catch(() => {})
  t.teardown(() => intake.close())
  return { account, pool, intake }
}

export function chunks (content: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(content.byteLength / size) }, (_none, index) => content.subarray(index * size, (index + 1) * size))
}
