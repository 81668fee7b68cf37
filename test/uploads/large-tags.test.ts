import t from 'tap'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'

const PART = 5 * 1_048_576

t.test('tags that nearly fill the first part do not make it larger than the others, which B2 would refuse', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_PART_BYTES: String(PART) })
  const content = Buffer.from(bytes(2 * PART))
  content.set(id3Header(PART - 10_000))
  const { status, body } = await put(service, content, 'cover.mp3')
  t.match({ status, body }, { status: 201, body: { storage: 'b2', track: { sha256: sha256(content) } } })
  t.same(service.log.of('b2.failed'), [])
})

/** The head of tags that have so many bytes. */
function id3Header (tagBytes: number): Uint8Array {
  const size = tagBytes - 10
  return Uint8Array.of(0x49, 0x44, 0x33, 4, 0, 0, size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127)
}
