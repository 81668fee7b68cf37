import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { LocalRest } from '../../services/intake/sinks/local-rest.ts'
import type { B2Parts } from '../../services/intake/sinks/b2-parts.ts'
import { createLocalStore } from '../../services/local/store.ts'
import { silentLog } from '../../services/log.ts'
import type { Track } from '../../services/receipt.ts'
import { bytes, sha256 } from '../support/service/service.ts'

const ID = '01890a5d-ac96-774b-bcce-b302099a8057'
const KEY = `tracks/${ID}.wav`
const PART = 1_000

t.test('the hashes of a rest are those of the file, although another upload fills each buffer as soon as it is given back', async t => {
  const dir = t.testdir()
  const local = createLocalStore({ dir })
  await local.open()
  t.teardown(() => local.close())
  const content = Buffer.from(bytes(3 * PART + 500))
  const pieces = [content.subarray(PART, 2 * PART), content.subarray(2 * PART, 2 * PART + 700), content.subarray(2 * PART + 700)].map(piece => Buffer.from(piece))
  const rest = new LocalRest({
    local,
    key: KEY,
    context: { correlationId: 'x', log: silentLog },
    expectedBytes: undefined,
    // As an upload does that waits for this memory.
    onHeld: number => queueMicrotask(() => pieces[number - 2]!.fill(0)),
    reason: { error_code: 'timeout', detail: 'B2 did not answer in time' },
    unfinished: { uploadId: 'upload', parts: [{ number: 1, etag: '"etag"' }] },
    partBytes: PART,
    partsBefore: 2,
    join: async () => ({ kind: 'later' as const }),
  }, { settled: async () => {} } as B2Parts)
  for (const [index, piece] of pieces.slice(0, 2).entries()) await rest.take({ number: index + 2, bytes: piece })
  const track = { id: ID, key: KEY, size_bytes: content.byteLength, sha256: sha256(content), filename: 'long.wav', content_type: 'audio/wav', uploaded_at: new Date().toISOString(), metadata: {}, audio: null } satisfies Track
  await rest.finish(track, { number: 4, bytes: pieces[2]! })

  const { manifest } = JSON.parse(await readFile(join(dir, `${KEY}.receipt.json`), 'utf8'))
  const parts = [content.subarray(PART, 2 * PART), content.subarray(2 * PART, 3 * PART), content.subarray(3 * PART)]
  t.same(manifest.local_parts, parts.map((part, index) => ({ number: index + 2, bytes: part.byteLength, sha256: sha256(part) })))
})
