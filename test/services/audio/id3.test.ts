import t from 'tap'
import type { Test } from 'tap'
import { trimId3 } from '../../../services/audio/id3.ts'
import { pieces } from '../../support/run/fuzz.ts'

const KIB = 1_024
const AUDIO = Buffer.concat([Buffer.from([0xff, 0xfb]), Buffer.alloc(100, 'T')])
const VERSIONS = [2, 3, 4] as const
type Version = typeof VERSIONS[number]

const NAMES = { 2: { title: 'TT2', picture: 'PIC' }, 3: { title: 'TIT2', picture: 'APIC' }, 4: { title: 'TIT2', picture: 'APIC' } }
const HEADER = { 2: 6, 3: 10, 4: 10 }

const syncsafe = (value: number) => Buffer.from([value >> 21, value >> 14, value >> 7, value].map(byte => byte & 0x7f))

/** A frame of so many bytes, its header included. */
function frame (version: Version, name: 'title' | 'picture', length: number): Buffer {
  const body = Buffer.alloc(length - HEADER[version], 'x')
  const size = Buffer.alloc(4)
  size.writeUInt32BE(body.length)
  return Buffer.concat([
    Buffer.from(NAMES[version][name]), version === 2 ? size.subarray(1) : version === 3 ? size : syncsafe(body.length), Buffer.alloc(version === 2 ? 0 : 2), body
  ])
}

const tag = (version: number, flags: number, ...frames: Buffer[]) => {
  const body = Buffer.concat(frames)
  return Buffer.concat([Buffer.from([0x49, 0x44, 0x33, version, 0, flags]), syncsafe(body.length), body])
}

/** A file is trimmed to these bytes, however it is cut. */
function isTrimmed (t: Test, file: Buffer, expected: Buffer, name: string): void {
  for (const size of [777, file.length]) {
    const { parts, removed } = trimId3(pieces(file, [size]))
    t.ok(Buffer.concat(parts).equals(expected), name)
    t.equal(removed, file.length - expected.length, `${name}: what went is counted`)
  }
}

t.test('a file without a large tag is let be', async t => {
  const large = tag(3, 0, Buffer.alloc(20 * KIB))
  for (const file of [Buffer.alloc(0), AUDIO, Buffer.from('ID3'), Buffer.from('ID3\x03\0\0\x7f\x7f\x7f', 'latin1'), Buffer.concat([Buffer.from('x'), large]), Buffer.concat([Buffer.from('ID2'), large.subarray(3)]), tag(3, 0, Buffer.alloc(16 * KIB))]) {
    const parts = [file]
    t.same(trimId3(parts), { parts, removed: 0 })
  }
  isTrimmed(t, Buffer.concat([tag(3, 0, Buffer.alloc(16 * KIB + 1)), AUDIO]), Buffer.concat([tag(3, 0), AUDIO]), 'a large one goes')
})

for (const version of VERSIONS) {
  const title = frame(version, 'title', 300)
  const picture = frame(version, 'picture', 40_000)

  t.test(`of a large tag of version 2.${version} the text frames stay`, async t => {
    isTrimmed(t, Buffer.concat([tag(version, 0, title, picture, title, Buffer.alloc(1_000), title), AUDIO]), Buffer.concat([tag(version, 0, title, title), AUDIO]), 'to the padding')
    isTrimmed(t, Buffer.concat([tag(version, 0xbf, picture, title), AUDIO]), Buffer.concat([tag(version, 0x80, title), AUDIO]), 'of the flags unsynchronisation')
    isTrimmed(t, Buffer.concat([tag(version, 0x40, picture, title), AUDIO]), Buffer.concat([tag(version, 0), AUDIO]), 'no frame where there is an extended header')
    isTrimmed(t, Buffer.concat([tag(version, 0, picture, title.subarray(0, -1)), AUDIO]), Buffer.concat([tag(version, 0), AUDIO]), 'no frame that is longer than the tag')
    isTrimmed(t, Buffer.concat([tag(version, 0, picture, title, title.subarray(0, 5)), AUDIO]), Buffer.concat([tag(version, 0, title), AUDIO]), 'no half of a header')
  })

  t.test(`the text frames that stay of version 2.${version} are few and small`, async t => {
    const [large, tooLarge, small] = [8 * KIB, 8 * KIB + 1, HEADER[version] + 1].map(length => frame(version, 'title', length)) as [Buffer, Buffer, Buffer]
    isTrimmed(t, Buffer.concat([tag(version, 0, tooLarge, picture, large), AUDIO]), Buffer.concat([tag(version, 0, large), AUDIO]), '8 KiB each')
    const all = Array<Buffer>(8).fill(large)
    isTrimmed(t, Buffer.concat([tag(version, 0, ...all, small), AUDIO]), Buffer.concat([tag(version, 0, ...all), AUDIO]), '64 KiB together')
    isTrimmed(t, Buffer.concat([tag(version, 0, ...all.slice(1), picture, title, large, small), AUDIO]), Buffer.concat([tag(version, 0, ...all.slice(1), title, small), AUDIO]), 'what does not fit is left out')
    const tiny = frame(version, 'picture', HEADER[version] + 30)
    isTrimmed(t, Buffer.concat([tag(version, 0, ...Array<Buffer>(499).fill(tiny), small, small), AUDIO]), Buffer.concat([tag(version, 0, small), AUDIO]), '500 are looked at')
  })
}

t.test('of a tag of another version nothing stays', async t => {
  for (const version of [0, 1, 5]) {
    const file = Buffer.concat([tag(version, 0, frame(3, 'title', 300), frame(3, 'picture', 40_000)), AUDIO])
    isTrimmed(t, file, Buffer.concat([tag(version, 0), AUDIO]), `version 2.${version}`)
  }
})

t.test('of the beginning of a file stays what is whole in it', async t => {
  const whole = tag(4, 0, frame(4, 'title', 300), frame(4, 'title', 400), frame(4, 'picture', 40_000))
  const short = tag(4, 0, frame(4, 'title', 300))
  for (const length of [10 + 300, 10 + 304, 10 + 310, 10 + 699]) {
    const { parts, removed } = trimId3([whole.subarray(0, length)])
    t.ok(Buffer.concat(parts).equals(short), `${length} bytes`)
    t.equal(removed, whole.length - short.length)
  }
})

t.test('only seven bits of each byte of the size count, and the file itself is not changed', async t => {
  const file = Buffer.concat([tag(3, 0xff, Buffer.alloc(20 * KIB)), AUDIO])
  for (let index = 6; index < 10; index++) file[index]! |= 0x80
  const before = Buffer.from(file)
  t.same(trimId3([file]).removed, 20 * KIB)
  t.ok(file.equals(before))
})
