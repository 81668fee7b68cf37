import { ask } from './client.ts'
import type { Outcome } from './client.ts'
import { contentOf, sliceOf } from './content.ts'
import type { Expected, Receipt } from '../judge/expected.ts'
import { assertReceipt } from '../judge/judge.ts'
import type { Process } from '../service/process.ts'
import { Random } from '../seed.ts'
import type { Stage } from '../stage.ts'
import type { Trouble } from '../trouble/trouble.ts'
import { Violation } from '../judge/violation.ts'

export interface ReadOptions {
  readonly what: 'receipt' | 'content' | 'range' | 'leave'
  /** It begins to read, and stands still until then. */
  readonly standsUntil?: Promise<void>
  readonly from: Process
  readonly stage: Stage
  /** Whether everything has moved to B2. */
  readonly isSettled?: boolean
}

/**
 * Reads a file as a client does. What was promised is there, or its store is out of reach; what was removed is not.
 * @throws {Violation}
 */
export async function readFile (expected: Expected, { what, from, standsUntil, stage: { directory, env, trouble }, isSettled = false }: ReadOptions): Promise<void> {
  const { upload: { id, size }, key, fate } = expected
  if (key === undefined) return
  const random = new Random(size)
  const first = random.between(0, Math.max(0, size - 1))
  const last = random.between(first, Math.max(0, size - 1))
  const isRange = what === 'range' && size > 0
  const mayFail = mayFailSince(from, trouble)
  const began = performance.now()
  const path = `/uploads/${key.split('/').at(-1)}${what === 'receipt' ? '' : '/content'}`
  const outcome = await ask(from.url, 'GET', path, isRange ? { range: `bytes=${first}-${last}` } : {}, {
    ...(what === 'leave' ? { leaveAfter: size / 2 } : {}),
    ...(standsUntil === undefined ? {} : { standsUntil }),
  })
  if (outcome.kind === 'left') return
  if (outcome.kind === 'lost' || !outcome.isWhole) {
    // It may have stood for too long, or for as long as its file was there.
    if (standsUntil !== undefined && (performance.now() - began >= Number(env['DOWNLOAD_IDLE_TIMEOUT_MS']) || expected.fate !== 'promised')) return
    // What began well and was cut must not look whole, and does not.
    if (from.ending === undefined && !from.mayDie && !(mayFail() && outcome.kind === 'answered')) throw new Violation('cut-read', `${id} ${what}: ${describe(outcome)}`)
    return
  }
  if (outcome.status === 503) {
    if (expected.storage === 'split' && !isSettled && what !== 'receipt' && /until B2 takes them/.test(String(outcome.body))) return
    if (!mayFail() && from.ending === undefined) throw new Violation('unavailable', `${id} ${what} can't be read although both stores are well: ${outcome.body}`)
    return
  }
  if (outcome.status === 404) {
    if (expected.fate === 'promised') throw new Violation('not-found', `${id} ${key} was promised, and is not found: ${outcome.body}`)
    return
  }
  if (![200, 206].includes(outcome.status)) throw new Violation('wrong-answer', `${id} ${what}: ${describe(outcome)}`)
  if (fate === 'removed') throw new Violation('revived', `${id} ${key} was removed, and ${what} is answered with ${outcome.status}`)
  if (what === 'receipt') {
    const receipt: Receipt = JSON.parse(String(outcome.body))
    assertReceipt(expected, receipt, directory)
    if (receipt.storage !== 'b2' && expected.storage !== undefined && receipt.storage !== expected.storage) throw new Violation('wrong-receipt', `${id} was ${expected.storage}, and is ${receipt.storage}`)
    if ((isSettled || expected.storage === 'b2') && receipt.storage !== 'b2') throw new Violation('wrong-receipt', `${id} is in B2, and said to be at ${receipt.location}`)
    return
  }
  const content = contentOf(id, size)
  const want = isRange ? sliceOf(content, first, last) : Buffer.concat(content)
  if (outcome.status !== (isRange ? 206 : 200) || !want.equals(outcome.body)) throw new Violation('wrong-bytes', `${id} ${what}: ${describe(outcome)} are not its ${want.byteLength} bytes`)
}

/** Deletes a file as a client does. @throws {Violation} */
export async function removeFile (expected: Expected, from: Process, { trouble }: Stage): Promise<void> {
  const { upload: { id }, key } = expected
  if (key === undefined) return
  const mayFail = mayFailSince(from, trouble)
  expected.fate = expected.fate === 'removed' ? 'removed' : 'half-removed'
  const outcome = await ask(from.url, 'DELETE', `/uploads/${key.split('/').at(-1)}`, {})
  if (outcome.kind === 'answered' && outcome.status === 204) expected.fate = 'removed'
  else if (!(mayFail() || from.ending !== undefined || from.mayDie) || (outcome.kind === 'answered' && outcome.status !== 503)) throw new Violation('wrong-answer', `DELETE of ${id}: ${describe(outcome)}`)
}

/** Returns a function that tells whether a store may have failed since then. */
function mayFailSince (service: Process, trouble: Trouble): () => boolean {
  const [b2, disk] = [trouble.watch(), service.watchDisk()]
  return () => b2() || disk()
}

function describe (outcome: Outcome): string {
  return outcome.kind === 'answered' ? `${outcome.status} with ${outcome.body.byteLength} bytes ${outcome.body.subarray(0, 300)}` : JSON.stringify(outcome)
}
