import type { UploadContext, Log } from '../log.ts'
import type { Observer } from '../observer.ts'
import type { PromotionOutcome } from './outcome.ts'

/** What a pass did, in numbers of files, except `bytes`. */
export interface PromotionReport {
  /** Files that went to B2, or were already there. */
  promoted: number
  /** Files that were tried and stay for a later pass. */
  failed: number
  /** Files that this or an earlier pass set aside: no pass tries them until it is asked to. */
  set_aside: number
  /** Files left to a later pass, because they failed lately, for example, or left to another process. */
  skipped: number
  /** How many of the skipped files another process is promoting now. */
  elsewhere: number
  /** Files that are still to be promoted after the pass, those set aside included. */
  pending: number
  /** Bytes of the files promoted; in a dry run, of those that would be. */
  bytes: number
}

export const NOTHING_DONE: Readonly<PromotionReport> = { promoted: 0, failed: 0, set_aside: 0, skipped: 0, elsewhere: 0, pending: 0, bytes: 0 }

/** How far a pass has come. */
export interface PromotionProgress {
  /** Files of this pass, as counted when it began. */
  readonly total: number
  /** How many of them are done. */
  readonly done: number
  /** The file that this is about. */
  readonly key: string
  /** Bytes of this file that are in B2; 0 if nothing was done with it. */
  readonly bytes: number
  /** Its size in bytes; 0 if nothing was done with it. */
  readonly size_bytes: number
  /**
   * How it ended; undefined while it is under way. `pending` means that a dry run would try the file, `gone` that it was deleted
   * meanwhile or that another process has promoted it.
   */
  readonly outcome?: 'promoted' | 'failed' | 'set_aside' | 'skipped' | 'pending' | 'gone'
  /** Why it failed. */
  readonly error_code?: string
  /** Why it failed or is set aside. */
  readonly detail?: string
}

/** Options of a pass. */
export interface PromoteOptions {
  /** Called when a file begins, as its bytes move, and when it has ended. Several files may be under way at once. */
  readonly onProgress?: (progress: PromotionProgress) => void
  /** Only says what there is to do. Default false. */
  readonly dryRun?: boolean
  /** Also tries files that were set aside or failed lately. Default false. */
  readonly retrySetAside?: boolean
  /** Stops the pass at the next safe point; what was under way is left to a later one. */
  readonly signal?: AbortSignal
}

/** How a pass leaves one file; `pending` in a dry run. */
export type PassOutcome = PromotionOutcome | { readonly kind: 'pending' }

export function progressOf (outcome: PassOutcome): Pick<PromotionProgress, 'outcome' | 'error_code' | 'detail'> {
  switch (outcome.kind) {
    case 'failed': return { outcome: 'failed', error_code: outcome.error_code, detail: outcome.detail }
    case 'set_aside': return { outcome: 'set_aside', detail: outcome.detail, ...(outcome.error_code === undefined ? {} : { error_code: outcome.error_code }) }
    case 'skipped': return { outcome: 'skipped', detail: outcome.detail }
    case 'promoted': return { outcome: 'promoted' }
    case 'pending': return { outcome: 'pending' }
    case 'elsewhere': return { outcome: 'skipped', detail: 'Another process has it' }
    default: return { outcome: 'gone' }
  }
}

/** Logs and counts how a promotion ended, if it was tried. */
export function logOutcome (
  { key, size, context }: { key: string, size: number, context: UploadContext | undefined }, outcome: PassOutcome, duration: number, passLog: Log, observer: Observer | undefined
): void {
  const log = context?.log ?? passLog
  const line = { key, duration_ms: duration, size_bytes: size }
  if (outcome.kind === 'promoted') {
    log.info({ event: 'promotion.done', ...line }, 'a file that had fallen back to local storage is in B2')
    observer?.promotionEnded('promoted')
  } else if (outcome.kind === 'failed') {
    const { fault, error_code, detail, more } = outcome
    if (fault === 'host') log.error({ event: 'hook.failed', hook: 'onPromoted', key, ...more }, 'the host\'s onPromoted failed; it is called again')
    log.warn({ event: 'promotion.failed', ...line, error_code, detail, ...(fault === 'host' ? {} : more) }, 'a file stays in local storage for now')
    observer?.promotionEnded('failed')
  } else if (outcome.kind === 'set_aside' && outcome.error_code !== undefined) {
    const { error_code, detail, more } = outcome
    log.error({ event: 'promotion.failed', set_aside: true, ...line, error_code, detail, ...more },
      'a file was set aside: it stays in local storage and is not tried again until an operator asks for it')
    observer?.promotionEnded('set_aside')
    if (error_code === 'parts_gone') observer?.partsGone()
  }
}
