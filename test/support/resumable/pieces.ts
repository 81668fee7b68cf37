import type { Test } from 'tap'
import type { B2Emulator } from '../../../emulator/index.ts'
import { b2Env, sha256, startB2, startService } from '../service/service.ts'
import type { Answer, TestService } from '../service/service.ts'
import { create, head, patch } from './tus.ts'

const MIB = 1_048_576
const PART = 5 * MIB
export const SIZE = 2 * PART + MIB
const PIECES = [0, MIB, PART + MIB, 2 * PART + 1, SIZE]

export async function start (t: Test): Promise<{ b2: B2Emulator, service: TestService }> {
  const b2 = await startB2(t)
  return { b2, service: await startService(t, { ...b2Env(b2), B2_MAX_ATTEMPTS: '1', B2_PART_BYTES: String(PART), BREAKER_RESET_MS: '100', PROMOTE_INTERVAL_MS: '100' }) }
}

/** Uploads in pieces, and goes on as clients do. Whatever is told as stored must be there. @returns where the file came to be */
export async function upload (t: Test, service: TestService, content: Buffer, before: (piece: number) => void): Promise<string> {
  before(0)
  const path = await create(t, service, content.byteLength)
  for (let [piece, offset, tries] = [0, 0, 0]; ;) {
    before(piece)
    const answer = await patch(service, path, offset, content.subarray(offset, Math.max(offset, PIECES[piece + 1]!)))
    const location = answer.headers.get('content-location')
    if (location !== null) {
      const { storage, track } = await (await fetch(`${service.url}${location}`)).json() as Answer['body']
      t.match(track, { size_bytes: content.byteLength, sha256: sha256(content) })
      return storage
    }
    if (answer.status === 204) piece++
    else if (answer.status !== 503 || ++tries > 20) throw new Error(`piece ${piece} was answered with ${answer.status} ${answer.text}`)
    const { status, headers } = await head(service, path)
    const now = Number(headers.get('upload-offset'))
    if (status !== 200 || now < offset || (answer.status === 204 && now !== Number(answer.headers.get('upload-offset')))) throw new Error(`after ${offset} it is at ${now}, ${status}`)
    offset = now
  }
}
