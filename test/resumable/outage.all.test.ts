import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator } from '../../emulator/index.ts'
import { onlyFilesAreLeft } from '../support/resumable/leftovers.ts'
import { create, head, patch } from '../support/resumable/tus.ts'
import { b2Env, bytes, sha256, startB2, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'

const MIB = 1_048_576
const PART = 5 * MIB
const SIZE = 2 * PART + MIB
const PIECES = [0, MIB, PART + MIB, 2 * PART + 1, SIZE]

async function start (t: Test): Promise<{ b2: B2Emulator, service: TestService }> {
  const b2 = await startB2(t)
  return { b2, service: await startService(t, { ...b2Env(b2), B2_MAX_ATTEMPTS: '1', B2_PART_BYTES: String(PART), BREAKER_RESET_MS: '100', PROMOTE_INTERVAL_MS: '100' }) }
}

/** Uploads in pieces, and goes on as clients do. Whatever is told as stored must be there. @returns where the file came to be */
async function upload (t: Test, service: TestService, content: Buffer, before: (piece: number) => void): Promise<string> {
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

const OUTAGES: [name: string, isDown: (piece: number) => boolean, storage: RegExp][] = [
  ['before', () => true, /^local$/],
  ['in the middle', piece => piece >= 2, /^(split|local)$/],
  ['at the end', piece => piece === 3, /^(split|local)$/],
  ['at the beginning only', piece => piece < 2, /^(b2|split|local)$/],
  ['now and then', piece => piece % 2 === 1, /^(b2|split|local)$/],
]

t.test('B2 is down before, during and at the end of an upload: it goes on, and the file is in B2 at last', async t => {
  for (const [name, isDown, storage] of OUTAGES) {
    await t.test(name, async t => {
      const { b2, service } = await start(t)
      const content = bytes(SIZE)
      let down: ReturnType<B2Emulator['fault']> | undefined
      const stored = await upload(t, service, content, piece => {
        down?.cancel()
        down = isDown(piece) ? b2.fault({ status: 503, times: Infinity }) : undefined
      })
      t.match(stored, storage)
      down?.cancel()
      await onlyFilesAreLeft(t, b2, service, [content])
      t.equal(service.app.uploads.heldBytes, 0)
    })
  }
})
