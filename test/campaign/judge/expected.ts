import type { Process } from '../service/process.ts'
import type { Upload } from '../script.ts'

/**
 * What is to be expected of an upload's file.
 * - `running`: its upload is under way.
 * - `promised`: it is stored, and stays so.
 * - `absent`: it is not stored, not in part either.
 * - `perhaps`: nobody was told; it is stored whole, or not at all.
 * - `removed`: it was deleted.
 * - `half-removed`: its deletion failed; it is there whole, or not at all.
 */
export type Fate = 'running' | 'promised' | 'absent' | 'perhaps' | 'removed' | 'half-removed'

export interface Expected {
  readonly upload: Upload
  readonly sha256: string
  /** Who took it. */
  readonly by: Process
  fate: Fate
  /** Where it is known. */
  key: string | undefined
  /** Where it was stored at first, where that is known. */
  storage: 'b2' | 'local' | 'split' | undefined
  /** The unfinished upload in B2 that a split file was stored with, where that is known. */
  uploadId: string | undefined
  /** Whether the client sent its last byte. */
  isComplete: boolean
  /** Whether the client got its receipt. */
  wasAnswered: boolean
  /** Whether the process may have logged nothing of it. */
  mayLackLine: boolean
}

/** A receipt, as the outside sees it. */
export interface Receipt {
  readonly storage: 'b2' | 'local' | 'split'
  readonly location: string
  readonly fallback_from_b2?: true
  readonly split?: { readonly b2_bytes: number, readonly local_bytes: number }
  readonly track: {
    readonly key: string
    readonly filename: string
    readonly size_bytes: number
    readonly sha256: string
    readonly metadata: Record<string, string>
  }
}

export class Expectations {
  readonly #all = new Map<string, Expected>()

  add (expected: Expected): void {
    this.#all.set(expected.upload.id, expected)
  }

  get (id: string): Expected | undefined {
    return this.#all.get(id)
  }

  of (...fates: Fate[]): Expected[] {
    return [...this.#all.values()].filter(({ fate }) => fates.includes(fate))
  }

  all (): Expected[] {
    return [...this.#all.values()]
  }

  byKey (key: string): Expected | undefined {
    return this.all().find(expected => expected.key === key)
  }

  /**
   * A process has ended before it could clean up what had failed: of whole uploads that it refused, something may be left,
   * and then all of it.
   */
  ended (process: Process): void {
    for (const expected of this.of('absent')) if (expected.by === process && expected.isComplete) expected.fate = 'perhaps'
  }
}
