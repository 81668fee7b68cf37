/** What a pass did; numbers of files, but for `bytes`. */
export interface PromotionReport {
  /** Files that went to B2, or were found to be there already. */
  promoted: number
  /** Files that were tried and stay for a later pass. */
  failed: number
  /** Files that are set aside, since this pass or an earlier one: no pass tries them until somebody asks for it. */
  set_aside: number
  /** Files that are left for a later pass, as they failed lately, say, or left to another process. */
  skipped: number
  /** How many of those skipped another process is promoting now. */
  elsewhere: number
  /** Files that are still to be promoted after the pass, those set aside included. */
  pending: number
  /** Bytes of the files promoted; in a dry run, of those that would be. */
  bytes: number
}

export const NOTHING_DONE: Readonly<PromotionReport> = { promoted: 0, failed: 0, set_aside: 0, skipped: 0, elsewhere: 0, pending: 0, bytes: 0 }

/** How far a pass has come. */
export interface PromotionProgress {
  /** Files of this pass, as many as there were when it began. */
  readonly total: number
  /** How many of them it is done with. */
  readonly done: number
  /** Of the file that this is about. */
  readonly key: string
  /** Bytes of this file that are in B2; 0 where nothing was done with it. */
  readonly bytes: number
  /** Bytes that it has; 0 where nothing was done with it. */
  readonly size_bytes: number
  /**
   * How it ended; undefined while it is under way. `pending` is what a dry run says of a file that would be tried, `gone`
   * means that it was removed meanwhile, or that another process has promoted it.
   */
  readonly outcome?: 'promoted' | 'failed' | 'set_aside' | 'skipped' | 'pending' | 'gone'
  /** Why it failed. */
  readonly error_code?: string
  /** Why it failed or is set aside. */
  readonly detail?: string
}

/** How a pass goes. */
export interface PromoteOptions {
  /** Called when a file begins, as its bytes move, and when it ended. Several files may be under way at once. */
  readonly onProgress?: (progress: PromotionProgress) => void
  /** Looks at what there is to do, and does nothing. Default false. */
  readonly dryRun?: boolean
  /** Tries files, too, that were set aside or failed lately. Default false. */
  readonly retrySetAside?: boolean
  /** Ends the pass at the next safe point; what it had under way stays for a later one. */
  readonly signal?: AbortSignal
}
