import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { Test } from 'tap'
import { CircuitBreaker } from '../../../services/circuit-breaker.ts'
import type { CircuitBreakerOptions } from '../../../services/circuit-breaker.ts'
import { createLocalStore } from '../../../services/local/store.ts'
import type { LocalStore, LocalStoreOptions } from '../../../services/local/store.ts'
import type { Source } from '../../../services/intake/source.ts'
import { silentLog } from '../../../services/log.ts'
import type { Log } from '../../../services/log.ts'
import type { Receipt } from '../../../services/receipt.ts'
import { FallbackTransfer } from '../../../services/intake/fallback-transfer.ts'
import type { TransferStores } from '../../../services/intake/fallback-transfer.ts'
import { chunks, setIntake } from './intake-stage.ts'
import type { IntakeStage } from './intake-stage.ts'
import { ScriptedB2, UNAVAILABLE } from '../b2/scripted-b2.ts'

const MIB = 1_048_576
export const ID = '01890a5d-ac96-774b-bcce-b302099a8057'
export const KEY = `tracks/${ID}.mp3`
/** Bytes of a part: less than B2 takes, so that the tests are quick. */
export const PART = 2 * MIB
/** What is logged of {@link UNAVAILABLE}. */
export const UNAVAILABLE_LOGGED = (({ error_code, detail, attempts, raw }) => ({ error_code, detail, attempts, raw }))(UNAVAILABLE)
/** Of the upload, for what is noted of it. */
export const CORRELATION = 'the-correlation-id'

export interface TransferStage {
  readonly b2: ScriptedB2
  readonly local: LocalStore
  /** The local directory. */
  readonly dir: string
  readonly breaker: CircuitBreaker
  /** Takes one file, and says what is known of it beside its bytes. */
  transfer (source: Readable | Uint8Array, how?: Partial<Pick<Source, 'expectedBytes' | 'complete'>> & {
    declaredType?: string | undefined, isLocalOnly?: boolean, signal?: AbortSignal
  }): Running
  /** From now on local storage takes nothing. */
  breakDisk (): Promise<void>
}

export interface Running extends IntakeStage {
  readonly receipt: Promise<Receipt>
  /** What it logged of B2. */
  readonly failures: object[]
}

/** Transfers between a {@link ScriptedB2} and a real directory. The replay window is two parts and a MiB more. */
export async function setTransferStage (t: Test, options: {
  stores?: Partial<TransferStores>, breaker?: Partial<CircuitBreakerOptions>, fs?: NonNullable<LocalStoreOptions['fs']>
} = {}): Promise<TransferStage> {
  const dir = t.testdir()
  const b2 = new ScriptedB2(PART)
  const local = createLocalStore({ dir, ...(options.fs === undefined ? {} : { fs: options.fs }) })
  await local.open()
  t.teardown(() => local.close())
  const breaker = new CircuitBreaker({ threshold: 2, resetMs: 60_000, ...options.breaker })
  const common = { local, breaker, windowBytes: 2 * PART + MIB, beyondWindow: 'refuse' as const, join: async () => ({ kind: 'later' as const }), allowedTypes: [], ...options.stores }
  return {
    b2,
    local,
    dir,
    breaker,

    transfer (source, { isLocalOnly = false, expectedBytes, declaredType, complete = async () => ({}), signal = new AbortController().signal } = {}) {
      const stream = source instanceof Uint8Array ? Readable.from(chunks(source, 65_536)) : source
      const stage = setIntake(t, stream, { expectedBytes, complete })
      const failures: Running['failures'] = []
      const stores = { ...common, b2: isLocalOnly ? undefined : b2.store }
      const log: Log = {
        ...silentLog,
        warn (fields) {
          const { event, error_code, detail, attempts, b2_says: raw } = fields as Record<string, unknown>
          if (event === 'b2.failed') failures.push({ error_code, detail, attempts, raw })
        },
      }
      const file = { id: ID, key: KEY, filename: 'Song.mp3', declaredType }
      const transfer = new FallbackTransfer(stores, stage.intake, file, { correlationId: CORRELATION, log }, signal)
      const receipt = transfer.run()
      receipt.catch(() => {})
      return { ...stage, receipt, failures }
    },

    async breakDisk () {
      await rm(dir, { recursive: true, force: true })
      await writeFile(dir, 'no directory')
    },
  }
}

/** The file and what is written beside it. */
export async function storedLocally ({ dir }: Pick<TransferStage, 'dir'>, key = KEY): Promise<{ content: Buffer, receipt: unknown }> {
  return { content: await readFile(join(dir, key)), receipt: JSON.parse(await readFile(join(dir, `${key}.receipt.json`), 'utf8')) }
}
