import type { Test } from 'tap'
import { mp3 } from '../../../scripts/samples/audio.ts'
import { contentPath, download } from '../../support/clients/download.ts'
import { bytes, post, put, sha256 } from '../../support/service/service.ts'
import { contentOf, isNotFound, receiptOf, remove } from '../../support/service/stored-files.ts'
import { MIB } from '../scene.ts'
import { isStored, nameIn, objectsOf, serviceScene } from './scene.ts'
import type { Target } from '../target.ts'

/** Uploads that succeed, and what can be done with the files. */
export async function uploadContract (t: Test, target: Target): Promise<void> {
  await serviceScene(t, target, 'files of all sizes are stored and come back', async (t, { start, s3, prefix, left, settles }) => {
    const service = await start()
    for (const size of target.sizes) {
      const content = bytes(size)
      const upload = size % 2 === 0 ? put : post
      const answer = await upload(service, content, 'file.bin')
      isStored(t, answer, content, 'b2')
      t.same(await left(), objectsOf(answer, size > 8 * MIB))
      t.equal(await contentOf(service, nameIn(answer.body.track.key)), sha256(content))
      t.match((await receiptOf(service, nameIn(answer.body.track.key))).body, { storage: 'b2', track: answer.body.track })
      await s3.clear(prefix)
    }
    t.same(await service.localFiles(), [], 'nothing went to the local disk')
    await settles(t, [])
  })

  await serviceScene(t, target, 'many uploads at once arrive whole', async (t, { start, left }) => {
    const service = await start()
    const contents = Array.from({ length: 8 }, (_, index) => bytes(index % 4 === 3 ? 9 * MIB : 20_000 + index))
    const answers = await Promise.all(contents.map(content => put(service, content)))
    for (const [index, answer] of answers.entries()) isStored(t, answer, contents[index]!, 'b2')
    t.same(await left(), answers.flatMap((answer, index) => objectsOf(answer, contents[index]!.byteLength > 8 * MIB)).sort())
  })

  await serviceScene(t, target, 'audio has its tags, also when another process is asked for them, and is found, read in ranges and removed', async (t, { start, left, settles }) => {
    const service = await start()
    const song = mp3({ title: 'Ä Título 🎵', artist: '曲' })
    const large = Buffer.concat([song, bytes(9 * MIB)])
    const answers = [await post(service, song, 'Ünïcödé 曲.mp3', { before: { album_id: '42' } }), await post(service, large, 'large.mp3')]
    const other = await start()
    for (const [index, content] of [song, large].entries()) {
      const { body: { track } } = answers[index]!
      const name = nameIn(track.key)
      isStored(t, answers[index]!, content, 'b2')
      t.match(track, { content_type: 'audio/mpeg', audio: { title: 'Ä Título 🎵', artist: '曲' } })
      t.same((await receiptOf(other, name)).body, { storage: 'b2', location: track.key, track })
      const path = contentPath(name)
      const whole = await download(other, path)
      t.equal(sha256(whole.body), track.sha256)
      t.match(whole.headers, { etag: `"${track.sha256}"`, 'content-type': 'audio/mpeg', 'content-length': String(content.byteLength) })
      const [first, last] = [content.byteLength - 1_000, content.byteLength - 2]
      const part = await download(other, path, { headers: { range: `bytes=${first}-${last}` } })
      t.match(part, { status: 206, headers: { 'content-range': `bytes ${first}-${last}/${content.byteLength}` } })
      t.ok(part.body.equals(content.subarray(first, last + 1)))
      t.match(await download(other, path, { method: 'HEAD' }), { status: 200, headers: { 'content-length': String(content.byteLength) } })
      t.match(await download(other, path, { headers: { 'if-none-match': `"${track.sha256}"` } }), { status: 304 })
      t.match(await download(other, path, { headers: { range: `bytes=${content.byteLength}-` } }), { status: 416 })
      t.equal(sha256((await download(other, path, { headers: { range: 'bytes=0-1', 'if-range': '"other"' } })).body), track.sha256)
    }
    t.same(await left(), [...objectsOf(answers[0]!, false), ...objectsOf(answers[1]!, true)].sort())

    for (const { body } of answers) {
      const name = nameIn(body.track.key)
      t.match(await remove(other, name), { status: 204 })
      await isNotFound(t, service, name)
      t.match(await remove(other, name), { status: 204 }, 'also the second time')
    }
    await settles(t, [])
    await isNotFound(t, service, 'no-such-file.bin')
  })
}
