import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parseBuffer } from 'music-metadata'
import t from 'tap'
import { crc16, crc8, oggCrc } from '../../../scripts/checksums.ts'
import { flac, m4a, mp3, ogg, wav } from '../../../scripts/samples/audio.ts'

const GENERATORS = { wav, mp3, flac, m4a, ogg }

t.test('the checksums have the published check values', async t => {
  const check = Buffer.from('123456789')
  t.equal(crc8(check), 0xf4)
  t.equal(crc16(check), 0xfee8)
  t.equal(oggCrc(check), 0x89a1897f)
})

for (const [name, generate] of Object.entries(GENERATORS)) {
  t.test(`${name} gives the same bytes for the same options, and grows with minBytes`, async t => {
    const options = { seconds: 1, title: 'Same' }
    t.ok(generate(options).equals(generate(options)))
    const grown = generate({ ...options, minBytes: 700_000 })
    t.ok(grown.length >= 700_000 && grown.length < 900_000, `${grown.length} bytes`)
  })

  t.test(`${name} is parsed without a warning`, async t => {
    for (const minBytes of [0, 100_000]) {
      const file = generate({ seconds: 2, title: 'T', ...(minBytes > 0 && { minBytes }) })
      const { quality, common, format } = await parseBuffer(file, undefined, { duration: true })
      // The parser compares the data chunk with what comes after it.
      t.same(quality.warnings.filter(({ message }) => message !== 'Data chunk size exceeds file size'), [])
      t.equal(common.title, 'T')
      t.ok((format.duration ?? 0) >= 2, `${format.duration} s`)
    }
  })

  t.test(`${name} works without any tag`, async t => {
    const { common } = await parseBuffer(generate())
    t.equal(common.title, undefined)
  })
}

t.test('a WAV has the sizes that its headers say, and sound in it', async t => {
  const file = wav({ seconds: 2, title: 'odd' })
  const data = file.indexOf('data')
  t.equal(file.readUInt32LE(4), file.length - 8)
  t.equal(file.readUInt32LE(data + 4), file.length - data - 8)
  const samples = Array.from({ length: 22_050 }, (_, index) => Math.abs(file.readInt16LE(data + 8 + 2 * index)))
  t.ok(Math.max(...samples) > 5_000, 'loud enough')
  t.ok(Math.max(...samples) < 32_767, 'and not clipped')
})

t.test('an MP3 is frames without a gap', async t => {
  const file = mp3({ seconds: 1, title: 'x' })
  let frames = 0
  for (let at = file.indexOf(Buffer.from('fffb', 'hex')); at < file.length; at += 384) {
    if (file.readUInt32BE(at) !== 0xfffb9400) t.fail(`no frame at ${at}`)
    frames += 1
  }
  t.equal(frames, 42)
})

t.test('a FLAC has frames with right checksums, and the digest of its samples', async t => {
  const file = flac({ seconds: 1 })
  const comments = 42 + 4 + file.readUIntBE(43, 3)
  const header = file.subarray(comments, comments + 5)
  t.equal(header.toString('hex'), 'fff8c90800')
  t.equal(file[comments + 5], crc8(header))
  t.equal(file.readUInt16BE(comments + 9), crc16(file.subarray(comments, comments + 9)))
  t.equal(file.toString('hex', 26, 42), createHash('md5').update(Buffer.alloc(88_200)).digest('hex'))
  t.equal(file.toString('hex', file.length - 13, file.length - 6).slice(0, 8), 'fff87908', 'the last block is shorter')
})

t.test('an M4A says where its audio is, with the index before or behind it', async t => {
  for (const moovAtEnd of [false, true]) {
    const file = m4a({ seconds: 1, title: 'x', moovAtEnd })
    t.equal(file.readUInt32BE(file.indexOf('stco') + 12), file.indexOf('mdat') + 4)
    t.equal(file.indexOf('moov') > file.indexOf('mdat'), moovAtEnd)
  }
})

t.test('an Ogg has pages with right checksums, in order', async t => {
  const file = ogg({ seconds: 3, title: 'x' })
  let at = 0
  let number = 0
  let granule = 0n
  while (at < file.length) {
    const lacing = file.subarray(at + 27, at + 27 + (file[at + 26] ?? 0))
    const end = at + 27 + lacing.length + lacing.reduce((sum, length) => sum + length, 0)
    const page = Buffer.from(file.subarray(at, end))
    page.writeUInt32LE(0, 22)
    t.equal(file.readUInt32LE(at + 22), oggCrc(page), `page ${number}`)
    t.equal(file.readUInt32LE(at + 18), number)
    granule = file.readBigInt64LE(at + 6)
    at = end
    number += 1
  }
  t.equal(granule, 312n + 144_000n)
})

t.test('the script writes a track to the path it is given', async t => {
  const path = join(t.testdir(), 'sample.wav')
  const run = promisify(execFile)
  await run(process.execPath, ['--import=tsx', 'scripts/samples/write-track.ts', path])
  const { common, format } = await parseBuffer(await readFile(path))
  t.match({ ...common, duration: format.duration }, { title: 'Pentatonic Morning', track: { no: 1 }, year: 2025, duration: 8 })
  await t.rejects(run(process.execPath, ['--import=tsx', 'scripts/samples/write-track.ts']), { code: 2, stderr: /Usage/ })
})
