import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import { BufferPool } from '../../../services/memory/buffer-pool.ts'
import { ClientPace } from '../../../services/intake/client-pace.ts'
import { mostMemory } from '../../../services/memory/buffer-growth.ts'
import { Intake } from '../../../services/intake/intake.ts'
import type { IntakeOptions } from '../../../services/intake/intake.ts'
import { MemoryAccount } from '../../../services/memory/account.ts'
import type { MemoryLease } from '../../../services/memory/account.ts'

const MIB = 1_048_576

/** Bytes of a part. */
export const PART = 5 * MIB

export interface IntakeStage {
  readonly account: MemoryAccount
  readonly pool: BufferPool
  readonly pace: ClientPace
  readonly intake: Intake
  readonly lease: MemoryLease
}

/** An intake of `stream`, whose client has the pace of `rate`; it ends with the test. */
export function setIntake (t: Test, stream: Readable, options: Partial<Pick<IntakeOptions, 'expectedBytes' | 'isExact' | 'maxBytes'>> & {
  rate?: number, account?: MemoryAccount
} = {}): IntakeStage {
  const { rate, account = new MemoryAccount({ budgetBytes: 64 * MIB, windowBytes: 32 * MIB, partBytes: PART }), maxBytes = 1_024 * MIB, ...rest } = options
  const pool = new BufferPool(64 * MIB)
  const pace = new ClientPace({ idleTimeoutMs: 60_000, minRate: 0, received: () => 0, onStalled: () => {} })
  pace.rate = () => rate
  const lease = account.open({ need: rest.expectedBytes === undefined ? Infinity : mostMemory(rest.expectedBytes, PART), rate: () => rate, end: () => {} })
  const intake = new Intake({ stream, lease, pool, pace, maxBytes, ...rest })
  t.teardown(() => {
    intake.close()
    lease.close()
    pace.stop()
  })
  return { account, pool, pace, intake, lease }
}

export function chunks (content: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(content.byteLength / size) }, (_none, index) => content.subarray(index * size, (index + 1) * size))
}
