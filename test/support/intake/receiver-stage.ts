import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import { BufferPool } from '../../../services/memory/buffer-pool.ts'
import { CircuitBreaker } from '../../../services/circuit-breaker.ts'
import { createLocalStore } from '../../../services/local/store.ts'
import type { Log, UploadContext } from '../../../services/log.ts'
import { MemoryAccount } from '../../../services/memory/account.ts'
import { createReceiver } from '../../../services/intake/receiver.ts'
import type { Source } from '../../../services/intake/source.ts'
import type { Receiver, ReceiverOptions } from '../../../services/intake/receiver.ts'
import type { Receipt } from '../../../services/receipt.ts'
import { PART } from './intake-stage.ts'
import { ScriptedB2 } from '../b2/scripted-b2.ts'

const MIB = 1_048_576

export interface ReceiverStage {
  readonly receiver: Receiver
  readonly account: MemoryAccount
  readonly pool: BufferPool
  readonly breaker: CircuitBreaker
  readonly b2: ScriptedB2
  /** Of all uploads. */
  readonly context: UploadContext
  /** What they logged. */
  readonly lines: Record<string, unknown>[]
  /** What the host was told. */
  readonly told: Receipt[]
  /** What was counted, with the arguments. */
  readonly counted: unknown[][]
  receive (stream: Readable, more?: Partial<Source>): { receipt: Promise<Receipt>, received (): number }
}

/** A receiver with a real directory; with a {@link ScriptedB2} where it `hasB2`. */
export async function setReceiverStage (t: Test, { hasB2 = false, ...options }: Partial<ReceiverOptions> & { hasB2?: boolean } = {}): Promise<ReceiverStage> {
  const local = createLocalStore({ dir: t.testdir() })
  t.teardown(() => local.close())
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, windowBytes: 32 * MIB, partBytes: PART })
  const pool = new BufferPool(64 * MIB)
  const breaker = new CircuitBreaker({ threshold: 1, resetMs: 60_000 })
  const b2 = new ScriptedB2(PART)
  const lines: ReceiverStage['lines'] = []
  const told: Receipt[] = []
  const counted: unknown[][] = []
  const count = (name: string) => (...values: unknown[]): void => { counted.push([name, ...values]) }
  const write = (level: string) => (fields: object, message: string): void => { lines.push({ level, ...fields, message }) }
  const log: Log = { info: write('info'), warn: write('warn'), error: write('error') }
  const context = { correlationId: 'the-correlation-id', log }
  const receiver = createReceiver({
    stores: { b2: hasB2 ? b2.store : undefined, local, breaker, windowBytes: 11 * MIB, beyondWindow: 'refuse', join: async () => ({ kind: 'later' }), allowedTypes: [] },
    account,
    pool,
    observer: { stored: count('stored'), failed: count('failed'), aborted: count('aborted'), replayed: count('replayed'), b2Failed: count('b2Failed'), refused: count('refused'), downloaded: count('downloaded'), deleted: count('deleted'), promotionEnded: count('promotionEnded'), partsGone: count('partsGone') },
    partBytes: PART,
    keyPrefix: 'music/',
    maxBytes: 100 * MIB,
    maxConcurrent: 10,
    idleTimeoutMs: 60_000,
    minRate: 0,
    onStored: receipt => { told.push(receipt) },
    ...options,
  })
  return {
    receiver,
    account,
    pool,
    breaker,
    b2,
    context,
    lines,
    told,
    counted,

    receive (stream, more = {}) {
      let received = 0
      stream.on('data', (chunk: Uint8Array) => { received += chunk.byteLength }).pause()
      const receipt = receiver.receive({ stream, complete: async () => ({}), ...more }, context)
      receipt.catch(() => {})
      return { receipt, received: () => received }
    },
  }
}
