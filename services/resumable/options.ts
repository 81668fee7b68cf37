/** Bounds of resumable uploads. */
export interface ResumableOptions {
  /**
   * Milliseconds after which one to which nothing was added is removed; 0: there are none. Less than `b2.unfinishedMaxAgeMs`.
   * Default 86,400,000 (a day).
   */
  readonly maxAgeMs?: number | undefined
}
