import t from 'tap'
import type { Test } from 'tap'
import { mp3, wav } from '../../scripts/samples/audio.ts'
import { CALM, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { b2Env, bytes, post, put, sha256, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'
import { contentOf, nameOf, receiptOf } from '../support/service/stored-files.ts'

const FIELDS = { title: 'Ünïcödé 曲 🎵', signs: '100% "quoted" \\ , ; = + / ? & #', empty: '' }
const LONG = Object.fromEntries(['a', 'b', 'c'].map(name => [name, name.repeat(1_000)]))
const TAGS = { seconds: 2, title: 'Ä Título 🎵', artist: 'The Artist', album: 'Album', trackNumber: 7, year: 2024, genre: 'Jazz' }

interface Kept {
  readonly answer: Answer
  readonly content: Uint8Array
}

/** Files in one request and in several parts, with receipts in metadata and beside the object. */
async function store (service: TestService): Promise<Kept[]> {
  const [song, long, none] = [mp3(TAGS), wav({ ...TAGS, minBytes: 6 * MIB }), bytes(0)]
  return [
    { content: song, answer: await post(service, song, 'Lied ☂ 夢 & 100 %.MP3', { before: FIELDS }) },
    { content: song, answer: await post(service, song, 'song.mp3', { after: LONG }) },
    { content: long, answer: await post(service, long, '長い歌.wav', { before: FIELDS, after: LONG }) },
    { content: none, answer: await put(service, none, 'nothing') },
  ]
}

/** Each receipt is the one that the upload was answered with, to the order of its members, and the file is the one that was sent. */
async function isAsAnswered (t: Test, service: TestService, kept: readonly Kept[], change: (body: any) => object = body => body): Promise<void> {
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

const inB2 = ({ track }: any): object => ({ storage: 'b2', location: track.key, track })

t.test('the receipt is what the upload was answered with, in B2, also after a restart, and from an empty directory', async t => {
  const { b2, service } = await setPromotionStage(t)
  const kept = await store(service)
  t.match(kept.map(({ answer }) => answer.body), kept.map(({ content }) => ({ storage: 'b2', track: { sha256: sha256(content) } })))
  t.match(kept.map(({ answer }) => answer.body.track), [
    { filename: 'Lied ☂ 夢 & 100 %.MP3', metadata: FIELDS, audio: { title: TAGS.title } }, { metadata: LONG }, { filename: '長い歌.wav', audio: { title: TAGS.title } }, { audio: null },
  ])
  t.equal(b2.objects().filter(({ key }) => key.endsWith('.receipt.json')).length, 2, 'two of them have it beside the object')
  await isAsAnswered(t, service, kept)

  await service.app.close()
  const again = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  await isAsAnswered(t, again, kept)
  const elsewhere = await startService(t, { ...b2Env(b2), ...CALM })
  await isAsAnswered(t, elsewhere, kept)
})

t.test('the receipt of a fallback says why, until the file is in B2, also after restarts', async t => {
  const { b2, service } = await setPromotionStage(t)
  const down = b2.fault({ status: 503, times: Infinity })
  const kept = await store(service)
  t.match(kept.map(({ answer }) => answer.body), kept.map(() => ({
    storage: 'local', fallback_from_b2: true, fallback_reason: { error_code: 'service_unavailable', detail: String },
  })))
  const reads = (): unknown[] => b2.requests.filter(({ operation }) => operation === 'HeadObject' || operation === 'GetObject')
  const before = reads().length
  await isAsAnswered(t, service, kept)
  await service.app.close()
  const again = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  await isAsAnswered(t, again, kept)
  t.equal(reads().length, before, 'B2 is not asked')
  down.cancel()

  t.match(await again.app.uploads.promote(), { promoted: 4, pending: 0 })
  await isAsAnswered(t, again, kept, inB2)
  await again.app.close()
  const third = await startService(t, { ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: service.dir })
  await isAsAnswered(t, third, kept, inB2)
  await isAsAnswered(t, await startService(t, { ...b2Env(b2), ...CALM }), kept, inB2)
})

t.test('in local-only mode it is so, too, without a word on B2', async t => {
  const service = await startService(t)
  const kept = await store(service)
  t.same(kept.map(({ answer }) => Object.keys(answer.body)), kept.map(() => ['storage', 'location', 'track']))
  await isAsAnswered(t, service, kept)
  await service.app.close()
  await isAsAnswered(t, await startService(t, { LOCAL_STORAGE_DIR: service.dir }), kept)
})

t.test('a receipt that B2 did not take is told from local storage, then from B2', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  const down = b2.fault({ operation: 'PutObject', key: /receipt/, status: 503, times: Infinity })
  const content = bytes(6 * MIB)
  const kept = [{ content, answer: await post(service, content, 'a', { before: FIELDS }) }]
  t.match(kept[0]!.answer.body, { storage: 'b2' })
  await isAsAnswered(t, service, kept)
  down.cancel()
  t.match(await uploads.promote(), { promoted: 1, pending: 0 })
  t.same(await service.localFiles(), [])
  await isAsAnswered(t, service, kept)
})

t.test('a file is found while it is promoted, at every request to B2', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  for (const size of [1_000, 12 * MIB]) {
    const { key, content } = await fallBack(size)
    const name = nameOf(key)
    const seen: Promise<string>[] = []
    const off = (['request', 'applied', 'response'] as const).map(event => b2.on(event, ({ operation, id }) => {
      // Reading asks B2, too, in the end.
      if (seen.length < 100) seen.push(receiptOf(service, name).then(({ status, body }) => `${status} ${body.track?.sha256}, ${event} of ${operation} ${id}`))
    }))
    t.match(await uploads.promote(), { promoted: 1 })
    for (const stop of off) stop()
    const answers = await Promise.all(seen)
    t.ok(answers.length >= 6)
    t.same(answers.filter(answer => !answer.startsWith(`200 ${sha256(content)},`)), [])
  }
})
