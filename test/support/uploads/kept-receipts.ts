import type { Test } from 'tap'
import { mp3, wav } from '../../../scripts/samples/audio.ts'
import { MIB } from '../promotion/promotion.ts'
import { bytes, post, put, sha256 } from '../service/service.ts'
import type { Answer, TestService } from '../service/service.ts'
import { contentOf, nameOf, receiptOf } from '../service/stored-files.ts'

export const FIELDS = { title: 'Ünïcödé 曲 🎵', signs: '100% "quoted" \\ , ; = + / ? & #', empty: '' }
export const LONG = Object.fromEntries(['a', 'b', 'c'].map(name => [name, name.repeat(1_000)]))
export const TAGS = { seconds: 2, title: 'Ä Título 🎵', artist: 'The Artist', album: 'Album', trackNumber: 7, year: 2024, genre: 'Jazz' }

export interface Kept {
  readonly answer: Answer
  readonly content: Uint8Array
}

/** Files in one request and in several parts, with receipts in metadata and beside the object. */
export async function store (service: TestService): Promise<Kept[]> {
  const [song, long, none] = [mp3(TAGS), wav({ ...TAGS, minBytes: 6 * MIB }), bytes(0)]
  return [
    { content: song, answer: await post(service, song, 'Lied ☂ 夢 & 100 %.MP3', { before: FIELDS }) },
    { content: song, answer: await post(service, song, 'song.mp3', { after: LONG }) },
    { content: long, answer: await post(service, long, '長い歌.wav', { before: FIELDS, after: LONG }) },
    { content: none, answer: await put(service, none, 'nothing') },
  ]
}

/** Each receipt is the one that the upload was answered with, to the order of its members, and the file is the one that was sent. */
export async function isAsAnswered (t: Test, service: TestService, kept: readonly Kept[], change: (body: any) => object = body => body): Promise<void> {
  for (const { answer, content } of kept) {
    const name = nameOf(answer.body.track.key)
    const receipt = await receiptOf(service, name)
    t.equal(receipt.status, 200)
    t.match(receipt.headers.get('content-type'), /^application\/json/)
    t.equal(JSON.stringify(receipt.body), JSON.stringify(change(answer.body)), answer.body.track.filename)
    t.equal(await contentOf(service, name), sha256(content), 'and its bytes')
    t.equal(answer.headers.get('location'), `/uploads/${name}`)
  }
}
