import t from 'tap'
import { create, head, metadata, patch } from '../support/resumable/tus.ts'
import { b2Env, bytes, inB2, sha256, startB2, startService } from '../support/service/service.ts'

t.test('a file that comes in pieces is one upload, whose URL says where to go on and at last where the file is', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' })
  const content = bytes(9_000_000)
  const path = await create(t, service, content.byteLength, { 'upload-metadata': metadata({ filename: 'Ein Lied.MP3', filetype: 'audio/mpeg', album: 'Ä' }) })
  t.match(path, /^\/resumable\/[0-9a-f-]{36}\.mp3$/)

  t.match(Object.fromEntries((await head(service, path)).headers), { 'upload-offset': '0', 'upload-length': '9000000', 'cache-control': 'no-store' })
  for (const [from, to] of [[0, 1], [1, 8_500_000]] as const) {
    const { status, headers } = await patch(service, path, from, content.subarray(from, to))
    t.equal(status, 204)
    t.equal(headers.get('upload-offset'), String(to))
    t.notOk(headers.has('content-location'))
  }
  const last = await patch(service, path, 8_500_000, content.subarray(8_500_000))
  t.match([last.status, last.headers.get('upload-offset'), last.headers.get('content-location')], [204, '9000000', path.replace('resumable', 'uploads')])

  const receipt = await (await fetch(`${service.url}${last.headers.get('content-location')}`)).json()
  t.match(receipt, { storage: 'b2', track: { filename: 'Ein Lied.MP3', content_type: 'audio/mpeg', size_bytes: 9_000_000, sha256: sha256(content), metadata: { album: 'Ä' } } })
  t.match(inB2(b2).files, [{ key: `tracks/${path.split('/').at(-1)}`, sha256: sha256(content) }])
  const complete = await head(service, path)
  t.match([complete.status, complete.headers.get('upload-offset'), complete.headers.get('content-location')], [200, '9000000', last.headers.get('content-location')])
  t.same(await service.localFiles(), [], 'nothing was written here')
})
