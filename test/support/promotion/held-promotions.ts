import type { B2Emulator, Fault } from '../../../emulator/index.ts'
import { KIB, MIB } from './promotion.ts'
import type { PromotionStage } from './promotion.ts'
import { bytes, post } from '../service/service.ts'
import { nameOf } from '../service/stored-files.ts'

/** Where a promotion is held up until it is released, so that something can happen there. */
export interface Hold {
  readonly name: string
  /** Of the file: whether it goes in one request or in two parts. */
  readonly size: number
  /** Text fields, so many that the receipt goes beside the file. */
  readonly fields?: Record<string, string>
  /** Whether only its receipt waits: B2 has the file. */
  readonly isReceiptOnly?: boolean
  readonly fault: Fault
}

// Until they are released.
const ANSWER = { delayMs: Infinity }
const BODY = { bytesPerSecond: 1 }

const SMALL = 100 * KIB
const LARGE = 6 * MIB // of parts of 5 MiB

const FIELDS = Object.fromEntries(['a', 'b', 'c'].map(name => [name, name.repeat(1_000)]))

const isFile = (key: string): boolean => !key.endsWith('.receipt.json')
const isReceipt = (key: string): boolean => !isFile(key)

/** `on its way`: B2 will have it only after that; `done`: B2 has it, and only its answer is late. */
export const HOLDS: readonly Hold[] = [
  { name: 'the look whether B2 has it', size: SMALL, fault: { operation: 'HeadObject', ...ANSWER } },
  { name: 'a put on its way', size: SMALL, fault: { operation: 'PutObject', ...BODY } },
  { name: 'a put that is done', size: SMALL, fault: { operation: 'PutObject', ...ANSWER } },
  { name: 'the look whether B2 has got it', size: SMALL, fault: { operation: 'HeadObject', after: 1, ...ANSWER } },
  { name: 'the beginning of parts', size: LARGE, fault: { operation: 'CreateMultipartUpload', ...ANSWER } },
  { name: 'the first part on its way', size: LARGE, fault: { operation: 'UploadPart', part: 1, ...BODY } },
  { name: 'the first part that is done', size: LARGE, fault: { operation: 'UploadPart', part: 1, ...ANSWER } },
  { name: 'the last part that is done', size: LARGE, fault: { operation: 'UploadPart', part: 2, ...ANSWER } },
  { name: 'a receipt on its way', size: LARGE, fields: FIELDS, fault: { operation: 'PutObject', key: isReceipt, ...BODY } },
  { name: 'the receipt of a small file that is done', size: SMALL, fields: FIELDS, fault: { operation: 'PutObject', key: isReceipt, ...ANSWER } },
  { name: 'a receipt that is done', size: LARGE, fields: FIELDS, fault: { operation: 'PutObject', key: isReceipt, ...ANSWER } },
  { name: 'a kept receipt on its way', size: LARGE, isReceiptOnly: true, fault: { operation: 'PutObject', key: isReceipt, ...BODY } },
  { name: 'a kept receipt that is done', size: LARGE, isReceiptOnly: true, fault: { operation: 'PutObject', key: isReceipt, ...ANSWER } },
  { name: 'the completion on its way', size: LARGE, fault: { operation: 'CompleteMultipartUpload', ...BODY } },
  { name: 'the completion that is done', size: LARGE, fault: { operation: 'CompleteMultipartUpload', ...ANSWER } },
  { name: 'the look whether B2 has got it all', size: LARGE, fault: { operation: 'HeadObject', key: isFile, after: 1, ...ANSWER } },
]

const OF_THE_FIRST_TIER = ['a put on its way', 'a put that is done', 'the last part that is done', 'the completion that is done', 'a receipt on its way']

/** Those of one tier. */
export const holdsOf = (tier: 'first' | 'second'): Hold[] => HOLDS.filter(({ name }) => OF_THE_FIRST_TIER.includes(name) === (tier === 'first'))

/** A promotion that will be held up. */
export interface Held {
  /** Resolves when it is: what is `done` has been done then. */
  readonly begun: Promise<unknown>
  /** Lets it go on. */
  release (): void
}

/** Holds the next promotion there. */
export function hold (b2: B2Emulator, { fault }: Pick<Hold, 'fault'>): Held {
  const { release } = b2.fault(fault)
  // A look that finds nothing is never applied.
  const isLate = fault.delayMs !== undefined && fault.operation !== 'HeadObject'
  return { begun: b2.waitFor(isLate ? 'applied' : 'request', record => record.fault === fault), release }
}

/** The name of a file that fell back, or whose receipt did, and that is to be held up there. */
export async function fallBackFor ({ size, fields = {}, isReceiptOnly = false }: Hold, { b2, service }: Pick<PromotionStage, 'b2' | 'service'>): Promise<string> {
  const down = b2.fault(isReceiptOnly
    ? { operation: 'PutObject', key: isReceipt, status: 503, times: Infinity }
    : { operation: ['PutObject', 'CreateMultipartUpload'], status: 503, times: Infinity })
  const { body } = await post(service, bytes(size), 'song.mp3', { before: fields })
  down.cancel()
  return nameOf(body.track.key)
}
