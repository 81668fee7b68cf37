import type { Test } from 'tap'
import type { B2Emulator } from '../../../emulator/index.ts'
import { digestOf, putInTwo } from '../clients/digests.ts'
import { isError } from '../clients/raw-http.ts'
import { b2Env, bytes, startB2, startService } from '../service/service.ts'
import type { Answer, TestService } from '../service/service.ts'
import { isEmpty } from '../service/stored-files.ts'

export const MIB = 1_048_576
export const PART = 5 * MIB
export const LARGE = bytes(2 * PART + 1_000)
export const LARGE_DIGEST = digestOf(LARGE)
export const PLACES: [name: string, at: number][] = [['first', 0], ['middle', PART + 1_000], ['last', LARGE.byteLength - 1]]
export const ENV = { B2_PART_BYTES: String(PART), B2_MAX_ATTEMPTS: '1', BREAKER_THRESHOLD: '0', PROMOTE_INTERVAL_MS: '0' }

/** The beginning of each file is given up as soon as B2 has its first part. */
export const BEYOND = { ...ENV, REPLAY_WINDOW_BYTES: String(MIB) }

export interface Stage { readonly b2: B2Emulator, readonly service: TestService }

export async function start (t: Test, env: Record<string, string>): Promise<Stage> {
  const b2 = await startB2(t)
  return { b2, service: await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', ...env }) }
}

/** Sends the large file, and its last bytes only after something, with the digest of what it should be. */
export async function sendLarge (service: TestService, file: Uint8Array, between: Promise<unknown>): Promise<Answer> {
  return await putInTwo(service, file, { 'repr-digest': LARGE_DIGEST }, between)
}

export async function b2Fails ({ log }: TestService): Promise<void> {
  const before = new Set(log.lines)
  await log.until(line => line.event === 'b2.failed' && !before.has(line))
}

/** None of the requests of a damaged file could have made an object of it, and nothing of it is anywhere. */
export async function isRefused (t: Test, { b2, service }: Stage, send: () => Promise<Answer>): Promise<void> {
  const before = b2.requests.length
  const answer = await send()
  isError(t, answer, 400, 'digest_mismatch')
  t.match(service.log.of('upload.failed').at(-1), { level: 40, error_code: 'digest_mismatch', correlation_id: answer.body.correlation_id })
  await isEmpty(t, b2, service)
  t.same(b2.requests.slice(before).filter(({ operation }) => operation === 'CompleteMultipartUpload' || operation === 'PutObject'), [], 'nothing was completed')
}
