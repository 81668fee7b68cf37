import t from 'tap'
import { ogg } from '../../../scripts/samples/audio.ts'
import { oggDuration } from '../../../services/audio/ogg-duration.ts'
import { pieces } from '../../support/run/fuzz.ts'

interface PageOptions { serial?: number, version?: number, segments?: number }

/** The segments of its packets are of no matter but for the first page. */
function page (granule: number, body: Buffer, { serial = 7, version = 0, segments = 1 }: PageOptions = {}): Buffer {
  const header = Buffer.alloc(27 + segments)
  header.write('OggS')
  header[4] = version
  header[5] = 2
  header.writeBigInt64LE(BigInt(granule), 6)
  header.writeUInt32LE(serial, 14)
  header[26] = segments
  return Buffer.concat([header, body])
}

function packet (name: string, length: number, rate?: [at: number, value: number]): Buffer {
  const bytes = Buffer.alloc(length)
  bytes.write(name, 'latin1')
  if (rate !== undefined) bytes.writeUIntLE(rate[1], rate[0], length - rate[0] < 4 ? 2 : 4)
  return bytes
}

const opus = packet('OpusHead', 12, [10, 480])
const vorbis = packet('\x01vorbis', 16, [12, 44_100])
const speex = packet('Speex   ', 40, [36, 16_000])
const sound = Buffer.alloc(200, 0x55)

t.test('a stream is as long as its last page says, by its own clock', async t => {
  t.equal(oggDuration([page(0, opus), page(48_480, sound)]), 1, 'Opus, without what is skipped at its beginning')
  t.equal(oggDuration([page(0, vorbis), page(22_050, sound), page(88_200, sound)]), 2)
  t.equal(oggDuration([page(0, speex), page(48_000, sound)]), 3)
  t.equal(oggDuration([page(0, vorbis, { segments: 255 }), page(44_100, sound)]), 1, 'wherever its first packet begins')
  t.equal(oggDuration([page(0, speex, { segments: 255 }), page(16_000, sound)]), 1)
  t.equal(oggDuration([page(44_100 * 4_294_967_296, vorbis)]), 4_294_967_296, 'also of one page, and for a long time')
  t.equal(oggDuration([page(480, opus)]), 0)
  t.equal(oggDuration([page(16_000, speex)]), 1)
})

t.test('a file in parts is as long as it is in one piece', async t => {
  const file = ogg({ seconds: 3 })
  for (const sizes of [[file.length], [1, 2, 3, 5, 7, 11], [1_021]]) t.equal(oggDuration(pieces(file, sizes)), 3, sizes.join())
})

t.test('what is no page, and pages that end no packet, are passed over', async t => {
  const file = [page(0, vorbis), page(44_100, sound)]
  for (const [name, rest] of Object.entries({
    'a page on which no packet ends': page(-1, sound),
    'a page that is torn': page(88_200, sound).subarray(0, 26),
    'its magic number alone': Buffer.from('OggS'),
    'a magic number within sound': page(88_200, sound, { version: 1 }),
    'a stretch of the size of a page': Buffer.alloc(100_000),
  })) t.equal(oggDuration([...file, rest]), 1, name)
  t.equal(oggDuration([...file, page(88_200, Buffer.alloc(0), { segments: 0 })]), 2, 'a header alone is a page')
  t.equal(oggDuration([page(-1, vorbis), page(-1, sound)]), undefined, 'no packet ends at all')
})

t.test('the last page is looked for in as much as two pages have at most', async t => {
  const first = page(0, vorbis)
  const last = page(44_100, Buffer.alloc(0))
  t.equal(oggDuration([first, last, Buffer.alloc(2 * 65_307 - last.length)]), 1)
  t.equal(oggDuration([first, last, Buffer.alloc(2 * 65_307 - last.length + 1)]), undefined)
})

t.test('no duration is told where the pages don\'t say one', async t => {
  const last = page(44_100, sound)
  for (const [name, parts] of Object.entries({
    nothing: [],
    'a page without a packet': [page(0, Buffer.alloc(0), { segments: 0 })],
    'a page that is torn': [page(0, vorbis).subarray(0, 10)],
    'no Ogg': [Buffer.from('x'), page(0, vorbis), last],
    'another magic number': [Buffer.from('Oggs'), page(0, vorbis).subarray(4), last],
    'another codec': [page(0, packet('\x7fFLAC', 60, [36, 44_100])), last],
    'chained streams': [page(0, vorbis), last, page(0, vorbis, { serial: 8 }), page(88_200, sound, { serial: 8 })],
    'a rate of nothing': [page(0, packet('\x01vorbis', 16)), last],
    'less than is skipped': [page(0, opus), page(479, sound)],
    'Opus that is cut': [page(0, Buffer.alloc(0), { segments: 0 }), opus.subarray(0, 11)],
    'Vorbis that is cut': [page(0, vorbis.subarray(0, 15))],
    'Speex that is cut': [page(0, speex.subarray(0, 39))],
  })) t.equal(oggDuration(parts), undefined, name)
})
