import type { Test } from 'tap'
import { objectMetadata } from '../../services/b2/object-receipt.ts'
import type { B2Store } from '../../services/b2/store.ts'
import type { Track } from '../../services/receipt.ts'
import { bytes, sha256 } from '../support/service/service.ts'
import { codeOfMissingBucket, isAsB2 } from './differences.ts'
import { PART, scene } from './scene.ts'
import type { Target } from './target.ts'

/** The service's own B2 store, without the service around it. */
export async function storeContract (t: Test, target: Target): Promise<void> {
  await scene(t, target, 'the store writes in one request and in parts, and reads what it wrote', async (t, { store, prefix, left }) => {
    const b2 = store()
    const small = trackOf(`${prefix}small.bin`, bytes(100_000))
    t.match(await b2.put({ key: small.track.key, contentType: 'audio/mpeg', metadata: objectMetadata(small.track) }, small.content, small.track.sha256), { ok: true, firstTry: true })
    t.match(await b2.head(small.track.key), { size: 100_000, sha256: small.track.sha256 })
    t.same(await b2.track(small.track.key), small.track, 'the receipt is in the metadata')

    const large = trackOf(`${prefix}large.bin`, bytes(2 * PART + 1))
    t.match(await putInParts(b2, large), { ok: true, firstTry: true })
    t.match(await b2.putReceipt(large.track), { ok: true })
    t.same(await b2.track(large.track.key), large.track, 'the receipt is beside the object')
    for (const { track, content } of [small, large]) {
      t.equal(await readAll(b2, track.key), track.sha256)
      const range = { first: content.byteLength - 10, last: content.byteLength - 1 }
      t.equal(await readAll(b2, track.key, range), sha256(content.subarray(range.first)))
    }
    t.same(await left(), ['large.bin', 'large.bin.receipt.json', 'small.bin'])

    t.same([await b2.head(`${prefix}missing`), await b2.track(`${prefix}missing`), await b2.read(`${prefix}missing`)], [undefined, undefined, undefined])
  })

  await scene(t, target, 'an upload that somebody else began is continued, with what is there of it', async (t, { s3, store, prefix, left }) => {
    const b2 = store()
    const key = `${prefix}object`
    const contentType = 'audio/flac'
    const content = bytes(4 * PART + 1)
    const part = (number: number): Buffer => content.subarray((number - 1) * PART, number * PART)
    const uploadId = await s3.begin(key, { ContentType: contentType })
    const kept: { number: number, etag: string }[] = []
    for (const number of [4, 1]) kept.push({ number, etag: await s3.part(key, uploadId, number, part(number)) })
    await s3.part(key, uploadId, 2, 'half of it')
    const found = (await b2.parts(key, uploadId))!
    t.same([...found].map(([number, { size }]) => [number, size]), [[1, PART], [2, 10], [4, PART]])
    for (const { number, etag } of kept) t.equal(found.get(number)!.etag, etag)
    t.equal(await b2.parts(`${prefix}other`, uploadId), undefined, 'of another object')

    const how = { uploadId, size: content.byteLength, signal: new AbortController().signal }
    const continued = b2.continue({ key, contentType }, how)
    for (const number of [5, 2, 3]) {
      const sent = await continued.put(number, part(number), sha256(part(number)))
      t.match(sent, { ok: true, number, firstTry: true })
      if (sent.ok) kept.push(sent)
    }
    t.match(await continued.complete(kept), { ok: true, key })
    continued.close()
    t.equal(sha256(await s3.bytes(key)), sha256(content))
    t.match(await s3.head(key), { ContentType: contentType, ContentLength: content.byteLength })
    t.same(await left(), ['object'])
    const listed = await b2.parts(key, uploadId)
    isAsB2(t, target, 'lists-parts-of-what-is-complete', { isGone: listed === undefined }, { isGone: true })
    if (listed !== undefined) t.same([...listed.keys()], [1, 2, 3, 4, 5], 'none but its own')
    // Its answer may have been lost: the object of this size tells that it was carried out.
    const again = b2.continue({ key, contentType }, how)
    t.match(await again.complete(kept), { ok: true, key })
    again.close()
    t.same(await left(), ['object'])
  })

  await scene(t, target, 'an upload that is ended in the middle leaves nothing', async (t, { store, prefix, settles }) => {
    const b2 = store()
    let stored = (): void => {}
    const isStored = new Promise<void>(resolve => { stored = resolve })
    const upload = b2.begin({ key: `${prefix}object`, contentType: 'audio/flac' }, { onPartStored: () => stored(), mayFallBack: () => true })
    await upload.push(bytes(PART))
    await isStored
    upload.abort()
    t.match(await upload.result, { ok: false })
    await settles(t, [])
  })

  await scene(t, target, 'what is removed is gone with its companion, and so is what is forgotten', async (t, { store, prefix, left, settles }) => {
    const b2 = store()
    const [removed, forgotten] = [trackOf(`${prefix}removed.bin`, bytes(10)), trackOf(`${prefix}forgotten.bin`, bytes(10))]
    for (const { track, content } of [removed, forgotten]) {
      await b2.put({ key: track.key, contentType: 'audio/mpeg' }, content, track.sha256)
      await b2.putReceipt(track)
    }
    const failed = await b2.remove(removed.track.key).then(() => undefined, error => error)
    if (target.differs.has('delete-fails-beside-longer-keys')) t.match(failed, { error_code: 'bucket_not_found' }, 'the first call fails there')
    else t.equal(failed, undefined)
    await b2.remove(removed.track.key)
    t.same(await left(), ['forgotten.bin', 'forgotten.bin.receipt.json'])
    t.equal(await b2.forget(forgotten.track.key), false, 'noted in memory alone')
    t.ok(b2.isForgotten(forgotten.track.key))
    await settles(t, [])
  })

  await scene(t, target, 'what was stored twice is there once in the end', async (t, { store, prefix, settles }) => {
    const b2 = store()
    const { track, content } = trackOf(`${prefix}object`, bytes(10))
    for (let count = 0; count < 3; count++) await b2.put({ key: track.key, contentType: 'audio/mpeg', metadata: objectMetadata(track) }, content, track.sha256)
    await b2.settle(track.key, true)
    await settles(t, ['object'])
    t.same(await b2.track(track.key), track)
  })

  const { credentials } = target
  const refusals: [what: string, options: object, error_code: string][] = [
    ['an unknown key id', { applicationKeyId: '004ffffffffffff0000000001' }, 'auth_error'],
    ['a wrong secret', { applicationKey: 'K004wrongwrongwrongwrongwrongwr' }, 'auth_error'],
    ['another signing region', { region: 'eu-central-003' }, 'auth_error'],
    ['a bucket that is not there', { bucket: `no-such-bucket-${target.bucket}` }, codeOfMissingBucket(target)],
  ]
  await scene(t, target, 'refusals have the code of their cause, and neither key nor secret is told', async (t, { store, prefix, left }) => {
    for (const [what, options, error_code] of refusals) {
      const b2 = store(options)
      const { track, content } = trackOf(`${prefix}object`, bytes(10))
      const put = await b2.put({ key: track.key, contentType: 'audio/mpeg' }, content, track.sha256)
      t.match(put, { ok: false, error_code, attempts: 1, mayBeStored: false }, `PutObject with ${what}`)
      const parts = await putInParts(b2, trackOf(track.key, bytes(PART + 1)))
      t.match(parts, { ok: false, error_code, attempts: 1, mayBeStored: false }, `CreateMultipartUpload with ${what}`)
      const told = JSON.stringify([put, parts, b2.log.lines])
      for (const secret of [credentials.accessKeyId, credentials.secretAccessKey, ...Object.entries(options).filter(([name]) => name.startsWith('application')).map(([, value]) => value as string)]) {
        t.notOk(told.includes(secret), 'nothing of the credentials is told')
      }
    }
    t.same(await left(), [])
  })
}

interface File { readonly content: Buffer, readonly track: Track }

function trackOf (key: string, content: Buffer): File {
  const track: Track = {
    id: key.slice(key.lastIndexOf('/') + 1).replace(/\..*/, ''),
    key,
    filename: 'Ünïcödé 曲 100%.mp3',
    content_type: 'audio/mpeg',
    size_bytes: content.byteLength,
    sha256: sha256(content),
    uploaded_at: '2026-01-02T03:04:05.678Z',
    metadata: { title: 'Ä Título 🎵' },
    audio: null,
  }
  return { content, track }
}

async function putInParts (b2: B2Store, { track, content }: File) {
  const upload = b2.begin({ key: track.key, contentType: track.content_type, metadata: objectMetadata({ filename: track.filename }) }, { onPartStored () {}, mayFallBack: () => true })
  for (let start = 0; start < content.byteLength; start += PART) {
    await upload.push(content.subarray(start, start + PART), start + PART >= content.byteLength)
  }
  return await upload.result
}

async function readAll (b2: B2Store, key: string, range?: { first: number, last: number }): Promise<string> {
  const stream = await b2.read(key, range)
  return sha256(Buffer.concat(await stream!.toArray()))
}
