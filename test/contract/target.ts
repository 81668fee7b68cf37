import type { Test } from 'tap'
import type { Difference } from './differences.ts'

/** A server on which the contract is tried. */
export interface Target {
  readonly name: string
  readonly endpoint: string
  readonly region: string
  readonly bucket: string
  readonly credentials: { readonly accessKeyId: string, readonly secretAccessKey: string }
  /** All that is made is below this, and nothing else is touched. */
  readonly prefix: string
  /** Bytes of the files to be uploaded. */
  readonly sizes: readonly number[]
  /** In what it is known to differ from B2; in all else it has to answer as Backblaze documents B2. */
  readonly differs: ReadonlySet<Difference>
  /** Absent where the server is not ours to stop. */
  readonly outage?: Outage
}

/** What can be done to a server of our own. */
export interface Outage {
  /** Milliseconds without movement that tell a server which stands still from one that is busy. */
  readonly stallMs: number
  /** Breaks all connections and refuses new ones. The data stays. */
  kill (): Promise<void>
  /** Takes connections again, at the same address. */
  revive (): Promise<void>
  /** Takes connections and answers nothing. */
  freeze (): void
  thaw (): void
}

/** Runs `run` for a target that can be stopped, and says where one can't. */
export async function withOutage (t: Test, target: Target, name: string, run: (t: Test, outage: Outage) => Promise<void>): Promise<void> {
  const { outage } = target
  if (outage === undefined) await t.test(name, { skip: 'this server is not ours to stop' }, () => {})
  else await t.test(name, async t => await run(t, outage))
}
