import type { B2Emulator, Fault } from '../../../emulator/index.ts'
import { KIB, MIB } from './promotion.ts'
import type { PromotionStage } from './promotion.ts'
import { bytes, post } from '../service/service.ts'
import { nameOf } from '../service/stored-files.ts'

/** Where a promotion is held up, so that something can happen there. */
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

// Longer than what happens meanwhile takes; where it is not, the promotion has only gone on.
const HELD_MS = 1_000
const SMALL = 100 * KIB
const LARGE = 6 * MIB // of parts of 5 MiB

const FIELDS = Object.fromEntries(['a', 'b', 'c'].map(name => [name, name.repeat(1_000)]))

const isFile = (key: string): boolean => !key.endsWith('.receipt.json')
const isReceipt = (key: string): boolean => !isFile(key)

/** `on its way`: B2 will have it only after that; `done`: B2 has it, and only its answer is late. */
export const HOLDS: readonly Hold[] = [
  { name: 'the look whether B2 has it', size: SMALL, fault: { operation: 'HeadObject', delayMs: HELD_MS } },
  { name: 'a put on its way', size: SMALL, fault: { operation: 'PutObject', bytesPerSecond: SMALL * 1_000 / HELD_MS } },
  { name: 'a put that is done', size: SMALL, fault: { operation: 'PutObject', delayMs: HELD_MS } },
  { name: 'the look whether B2 has got it', size: SMALL, fault: { operation: 'HeadObject', after: 1, delayMs: HELD_MS } },
  { name: 'the beginning of parts', size: LARGE, fault: { operation: 'CreateMultipartUpload', delayMs: HELD_MS } },
  { name: 'the first part on its way', size: LARGE, fault: { operation: 'UploadPart', part: 1, bytesPerSecond: 5 * MIB * 1_000 / HELD_MS } },
  { name: 'the first part that is done', size: LARGE, fault: { operation: 'UploadPart', part: 1, delayMs: HELD_MS } },
  { name: 'the last part that is done', size: LARGE, fault: { operation: 'UploadPart', part: 2, delayMs: HELD_MS } },
  { name: 'a receipt on its way', size: LARGE, fields: FIELDS, fault: { operation: 'PutObject', key: isReceipt, bytesPerSecond: 3_000 * 1_000 / HELD_MS } },
  { name: 'the receipt of a small file that is done', size: SMALL, fields: FIELDS, fault: { operation: 'PutObject', key: isReceipt, delayMs: HELD_MS } },
  { name: 'a receipt that is done', size: LARGE, fields: FIELDS, fault: { operation: 'PutObject', key: isReceipt, delayMs: HELD_MS } },
  { name: 'a kept receipt on its way', size: LARGE, isReceiptOnly: true, fault: { operation: 'PutObject', key: isReceipt, bytesPerSecond: 500 * 1_000 / HELD_MS } },
  { name: 'a kept receipt that is done', size: LARGE, isReceiptOnly: true, fault: { operation: 'PutObject', key: isReceipt, delayMs: HELD_MS } },
  { name: 'the completion on its way', size: LARGE, fault: { operation: 'CompleteMultipartUpload', bytesPerSecond: 500 } },
  { name: 'the completion that is done', size: LARGE, fault: { operation: 'CompleteMultipartUpload', delayMs: HELD_MS } },
  { name: 'the look whether B2 has got it all', size: LARGE, fault: { operation: 'HeadObject', key: isFile, after: 1, delayMs: HELD_MS } },
]

/** Holds the next promotion there; resolves when it is held. */
export async function hold (b2: B2Emulator, { fault }: Hold): Promise<void> {
  b2.fault(fault)
  await b2.waitFor('request', record => record.fault === fault)
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
