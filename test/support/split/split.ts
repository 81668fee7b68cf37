import { once } from 'node:events'
import http from 'node:http'
import type { Test } from 'tap'
import type { B2Emulator, Fault, FaultHandle } from '../../../emulator/index.ts'
import { settled } from '../faults/fault-matrix.ts'
import { BOUNDARY, fieldPart, filePart, form } from '../forms/forms.ts'
import { filesIn, MIB, PART, setPromotionStage, untilB2 } from '../promotion/promotion.ts'
import type { PromotionStage } from '../promotion/promotion.ts'
import { answerTo } from '../service/answer.ts'
import { bytes, inB2, settledFiles, sha256 } from '../service/service.ts'
import type { Answer, TestService } from '../service/service.ts'
import { nameOf } from '../service/stored-files.ts'

export { MIB, PART }

/** Three parts and a short one, which is longer than what is sent ahead. */
export const SIZE = 3 * PART + MIB

/** The beginning of each file is given up as soon as B2 has its first part. */
export const OUTGROWN = { REPLAY_WINDOW_BYTES: String(MIB) }

export const DOWN: Fault = { operation: ['UploadPart', 'CompleteMultipartUpload'], status: 503, times: Infinity }

/** Bytes after those that fill a part, so that the service need not wait for the end to know that it is not the last. */
const MORE = 262_144

/** How a client sends its file. */
export type Way = 'form' | 'raw' | 'chunked'

export interface SplitStage extends Omit<PromotionStage, 'fallBack'> {
  /** Uploads a file that B2 fails once it has acknowledged its first part, or so many; the handle ends the outage. */
  split (how?: SplitHow): Promise<Split>
}

export interface SplitHow {
  readonly content?: Buffer
  /** Default 1. */
  readonly acknowledged?: number
  /** Default: B2 takes no part and completes nothing. */
  readonly fault?: Fault
}

export interface SplitFile {
  readonly content: Buffer
  readonly key: string
}

export interface Split extends SplitFile {
  readonly name: string
  readonly down: FaultHandle
}

/** A service that promotes nothing but by a call. */
export async function setSplitStage (t: Test, env: Record<string, string> = {}, own?: B2Emulator): Promise<SplitStage> {
  const { b2, service, uploads } = await setPromotionStage(t, { ...OUTGROWN, ...env }, own)
  return {
    b2,
    service,
    uploads,
    async split ({ content = bytes(SIZE), acknowledged = 1, fault = DOWN } = {}) {
      const begun = await begin(service, b2, content, { acknowledged })
      const down = b2.fault(fault)
      const answer = await begun.finish()
      checkSplit(t, answer, content)
      return { content, key: answer.body.track.key, name: nameOf(answer.body.track.key), down }
    },
  }
}

export interface Begun {
  readonly request: http.ClientRequest
  /** Sends the rest, or what is left up to there, and gives the answer. */
  finish (): Promise<Answer>
  /** Sends up to that byte of the file. */
  sendTo (offset: number): Promise<void>
}

/** Sends so much of a file that B2 gets and acknowledges its first parts. */
export async function begin (
  service: Pick<TestService, 'url'>, b2: B2Emulator, content: Buffer, { way = 'raw', acknowledged = 1, partBytes = PART }: { way?: Way, acknowledged?: number, partBytes?: number } = {}
): Promise<Begun> {
  const body = way === 'form' ? form(filePart(content, { filename: 'long.wav' }), fieldPart('after', 'the file')) : content
  const request = http.request(`${service.url}/uploads${way === 'form' ? '' : '/long.wav'}`, {
    method: way === 'form' ? 'POST' : 'PUT',
    agent: false,
    headers: {
      ...(way === 'form' ? { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` } : {}),
      ...(way === 'chunked' ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.byteLength }),
    },
  })
  let sent = 0
  const seen = b2.requests.at(-1)?.id ?? 0
  async function sendTo (offset: number): Promise<void> {
    const piece = body.subarray(sent, offset)
    sent = offset
    if (!request.write(piece)) await Promise.race([once(request, 'drain'), once(request, 'close')])
  }
  await sendTo(Math.min(acknowledged * partBytes + MORE, content.byteLength))
  await untilB2(b2, () => b2.requests.filter(({ id, operation, status, outcome }) => id > seen && operation === 'UploadPart' && status === 200 && outcome === 'answered').length >= acknowledged)
  return {
    request,
    sendTo,
    async finish () {
      request.end(body.subarray(sent))
      return await answerTo(request)
    },
  }
}

/** The answer says that the file is split, and where its bytes are. */
export function checkSplit (t: Test, { status, headers, body }: Answer, content: Buffer): void {
  t.match({ status, body }, { status: 202, body: { storage: 'split', fallback_from_b2: true, fallback_reason: { error_code: String, detail: String }, track: { size_bytes: content.byteLength, sha256: sha256(content) } } })
  if (status !== 202) return
  t.equal(body.location, body.track.key)
  t.equal(headers.get('location'), `/uploads/${nameOf(body.track.key)}`)
  t.equal(body.split.b2_bytes + body.split.local_bytes, content.byteLength)
  t.ok(body.split.b2_bytes > 0)
}

/** Promotes until nothing waits any more: a clean-up may have to come first. */
export async function promoteAll ({ uploads }: Pick<SplitStage, 'uploads'>): Promise<void> {
  for (let tries = 0; tries < 100 && (await uploads.promote()).pending > 0; tries++) await new Promise(resolve => setTimeout(resolve, 20))
}

/** Each file is in B2, whole and once; nothing else is anywhere but receipts beside them. */
export async function isJoined (t: Test, { b2, service }: Pick<SplitStage, 'b2' | 'service'>, ...files: SplitFile[]): Promise<void> {
  await settled(b2, () => b2.unfinishedUploads().length === 0 && inB2(b2).files.length === files.length)
  t.same(filesIn(b2).map(({ key, sha256 }) => [key, sha256]).sort(), files.map(({ key, content }) => [key, sha256(content)]).sort(), 'B2 has their bytes')
  t.same(inB2(b2).files.map(({ key }) => key).sort(), files.map(({ key }) => key).sort(), 'each once')
  const receipts = inB2(b2).receipts.map(({ key }) => key)
  t.equal(new Set(receipts).size, receipts.length, 'no receipt twice')
  t.ok(receipts.every(key => files.some(file => key === `${file.key}.receipt.json`)), 'no other receipt')
  t.same(b2.unfinishedUploads(), [])
  t.same(await settledFiles(service), [], 'nothing is left locally')
}

/**
 * Begins an upload that B2 fails in the middle, from which it has recovered before the client sends the rest.
 */
export async function beginFailed ({ b2, service }: Pick<SplitStage, 'b2' | 'service'>, content: Buffer): Promise<Awaited<ReturnType<typeof begin>>> {
  const upload = await begin(service, b2, content)
  const down = b2.fault(DOWN)
  await upload.sendTo(2 * PART + MIB)
  await service.log.until(({ event }) => event === 'b2.failed')
  down.cancel()
  return upload
}
