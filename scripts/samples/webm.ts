import type { SampleOptions } from './audio.ts'

export interface SampleWebmOptions extends SampleOptions {
  /** What the file says that it is. Default `webm`. */
  docType?: 'webm' | 'matroska'
  /** Its tracks. Default one of sound. */
  tracks?: ReadonlyArray<'audio' | 'video'>
  /** Without sizes and without a duration, as browsers record. */
  isLive?: boolean
  /** Bytes of nothing before the tracks. */
  voidBytes?: number
}

const UNKNOWN_SIZE = Buffer.from('01ffffffffffffff', 'hex')
const OPUS_SILENCE = Buffer.from('f8fffe', 'hex') // 20 ms
const BLOCK_MS = 20
const CLUSTER_MS = 1_000

/** An element of EBML (RFC 8794), its id in hexadecimal. */
function element (id: string, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const size = Buffer.alloc(4)
  size.writeUInt32BE(0x10000000 + body.byteLength)
  return Buffer.concat([Buffer.from(id, 'hex'), size, body])
}

const text = (value: string): Buffer => Buffer.from(value)
const uint = (value: number): Buffer => Buffer.from(value.toString(16).padStart(8, '0'), 'hex')

function float (value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes
}

/** WebM, or Matroska: Opus, mono at 48 kHz, silence; its pictures are a track without any. */
export function webm ({ seconds = 2, docType = 'webm', tracks = ['audio'], isLive = false, voidBytes = 0, title, artist }: SampleWebmOptions = {}): Buffer {
  const tag = (name: string, value: string | undefined): Buffer => value === undefined ? Buffer.alloc(0) : element('67c8', element('45a3', text(name)), element('4487', text(value)))
  const opusHead = Buffer.concat([text('OpusHead'), Buffer.from([1, 1, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0])])
  const entries = tracks.map((kind, index) => element('ae',
    element('d7', uint(index + 1)), element('73c5', uint(index + 1)), element('83', Buffer.from([kind === 'video' ? 1 : 2])),
    element('86', text(kind === 'video' ? 'V_VP8' : 'A_OPUS')),
    ...(kind === 'video' ? [element('e0', element('b0', uint(16)), element('ba', uint(16)))] : [element('63a2', opusHead), element('e1', element('b5', float(48_000)), element('9f', uint(1)))])
  ))
  const clusters: Buffer[] = []
  for (let start = 0; start < seconds * 1_000; start += CLUSTER_MS) {
    const blocks = Array.from({ length: CLUSTER_MS / BLOCK_MS }, (_, index) => element('a3', Buffer.from([0x81, (index * BLOCK_MS) >> 8, (index * BLOCK_MS) & 0xff, 0x80]), OPUS_SILENCE))
    const cluster = [element('e7', uint(start)), ...blocks]
    clusters.push(isLive ? Buffer.concat([Buffer.from('1f43b675', 'hex'), UNKNOWN_SIZE, ...cluster]) : element('1f43b675', ...cluster))
  }
  const segment = [
    element('1549a966', element('2ad7b1', uint(1_000_000)), element('4d80', text('sample')), element('5741', text('sample')), ...(isLive ? [] : [element('4489', float(seconds * 1_000))])),
    ...(voidBytes === 0 ? [] : [element('ec', Buffer.alloc(voidBytes))]),
    element('1654ae6b', ...entries),
    ...(title === undefined && artist === undefined
      ? []
      : [element('1254c367', element('7373', element('63c0', element('68ca', uint(30))), tag('TITLE', title), tag('ARTIST', artist)))]),
    ...clusters,
  ]
  const head = element('1a45dfa3', element('4286', uint(1)), element('42f7', uint(1)), element('42f2', uint(4)), element('42f3', uint(8)), element('4282', text(docType)), element('4287', uint(4)), element('4285', uint(2)))
  return Buffer.concat([head, isLive ? Buffer.concat([Buffer.from('18538067', 'hex'), UNKNOWN_SIZE, ...segment]) : element('18538067', ...segment)])
}
