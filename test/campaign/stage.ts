import type { B2Emulator } from '../../emulator/index.ts'
import type { Expectations } from './judge/expected.ts'
import type { Tally } from './judge/tally.ts'
import type { Trouble } from './trouble/trouble.ts'

/** What those who act in an episode share. */
export interface Stage {
  readonly b2: B2Emulator
  readonly trouble: Trouble
  /** Absolute path of the services' local directory. */
  readonly directory: string
  /** The services' settings. */
  readonly env: Readonly<Record<string, string>>
  readonly expectations: Expectations
  /** Ids of unfinished uploads in B2, which the services take after days, and keys of receipts without a file: their process died. */
  readonly orphans: Set<string>
  readonly tally: Tally
  say (line: string): void
}
