/** How the emulated B2 is, on purpose. */
export type B2Mood = 'healthy' | 'slow' | '503s' | 'wrong-key' | 'cap-exceeded' | 'stalled' | 'down'

/** A stored file that this demo has seen. */
export interface LiveFile {
  /** Correlation id of its upload, or its name if an earlier upload had the same. */
  id: string
  /** The last segment of its key. */
  name: string
  storage: 'b2' | 'local' | 'split'
  /** Where its upload was stored, as its answer said. */
  first: LiveFile['storage']
  /** It is being moved to B2, or what B2 lacks of it. */
  moving: boolean
}

/** What the page shows live, as `/demo/events` sends it at every change. */
export interface LiveState {
  b2: B2Mood
  /** B2 is taking in a file. */
  receiving: boolean
  circuit: 'closed' | 'open' | 'half_open' | 'disabled'
  last_error: { error_code: string, detail: string } | null
  pending_promotions: number
  files: LiveFile[]
}
