import t from 'tap'
import { KIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { bytes, post, put, sha256, startService } from '../support/service/service.ts'
import { contentOf, isEmpty, isNotFound, nameOf, receiptOf, remove } from '../support/service/stored-files.ts'

const OTHER = `"${'0'.repeat(64)}"`
const EARLIER = 'Sat, 01 Jan 2000 00:00:00 GMT'
const UNKNOWN = '01890a5d-ac96-774b-bcce-b302099a8057.mp3'

t.test('a file whose DELETE has a condition that does not hold stays as it is, in either store', async t => {
  const { b2, service, fallBack } = await setPromotionStage(t)
  const content = bytes(KIB)
  const etag = `"${sha256(content)}"`
  const local = await fallBack(KIB)
  const files = [
    { name: nameOf((await put(service, content)).body.location), etag, hash: sha256(content) },
    { name: nameOf(local.key), etag: `"${sha256(local.content)}"`, hash: sha256(local.content) },
  ]
  const before = [b2.versions(), await service.localFiles()]
  for (const { name, etag, hash } of files) {
    for (const headers of [
      { 'if-match': '"0000"' }, { 'if-match': OTHER }, { 'if-match': `W/${etag}` }, { 'if-match': `${OTHER}, "1"` }, { 'if-match': 'nonsense' },
      { 'if-match': OTHER, 'if-unmodified-since': 'Fri, 31 Dec 2100 23:59:59 GMT' },
      { 'if-none-match': '*' }, { 'if-none-match': etag }, { 'if-none-match': `W/${etag}` }, { 'if-none-match': `"1", ${etag}` },
      { 'if-match': etag, 'if-none-match': etag },
      { 'if-unmodified-since': EARLIER }, { 'if-unmodified-since': 'Saturday, 01-Jan-00 00:00:00 GMT' }, { 'if-unmodified-since': 'Sat Jan  1 00:00:00 2000' },
    ] as Record<string, string>[]) {
      isError(t, await remove(service, name, { headers }), 412, 'precondition_failed')
      t.equal((await receiptOf(service, name)).status, 200, JSON.stringify(headers))
    }
    t.equal(await contentOf(service, name), hash)
  }
  t.same([b2.versions(), await service.localFiles()], before)
})

t.test('a file whose DELETE has conditions that hold is gone, and what is none is ignored', async t => {
  const { b2, service, fallBack } = await setPromotionStage(t)
  const content = bytes(KIB)
  const etag = `"${sha256(content)}"`
  for (const headers of [
    { 'if-match': etag }, { 'if-match': `${OTHER}, ${etag}` }, { 'if-match': '*' }, { 'if-none-match': OTHER },
    { 'if-match': etag, 'if-unmodified-since': EARLIER }, { 'if-unmodified-since': 'Fri, 31 Dec 2100 23:59:59 GMT' },
    { 'if-unmodified-since': 'yesterday' }, { 'if-unmodified-since': '0' }, { 'if-unmodified-since': 'Mon, 31 Feb 2000 00:00:00 GMT' },
    { 'if-modified-since': new Date().toUTCString() },
  ] as Record<string, string>[]) {
    const name = nameOf((await put(service, content)).body.location)
    t.equal((await remove(service, name, { headers })).status, 204, JSON.stringify(headers))
    await isNotFound(t, service, name)
  }
  const { key, content: fallen } = await fallBack(KIB)
  t.equal((await remove(service, nameOf(key), { headers: { 'if-match': `"${sha256(fallen)}"` } })).status, 204)
  await isEmpty(t, b2, service)
})

t.test('where there is no file only If-Match fails; a name that is none is not found, whatever the condition', async t => {
  const { b2, service } = await setPromotionStage(t)
  for (const match of ['*', OTHER]) isError(t, await remove(service, UNKNOWN, { headers: { 'if-match': match } }), 412, 'precondition_failed')
  for (const headers of [{ 'if-none-match': '*' }, { 'if-none-match': OTHER }, { 'if-unmodified-since': EARLIER }] as Record<string, string>[]) {
    t.equal((await remove(service, UNKNOWN, { headers })).status, 204)
  }
  isError(t, await remove(service, 'song.mp3', { headers: { 'if-match': '*' } }), 404, 'not_found')
  b2.fault({ status: 503, times: Infinity })
  isError(t, await remove(service, UNKNOWN, { headers: { 'if-match': '*' } }), 503, 'storage_unavailable')
})

t.test('an upload with If-Match is refused and stores nothing; If-None-Match always holds', async t => {
  const { b2, service } = await setPromotionStage(t)
  const content = bytes(100 * KIB)
  for (const match of ['*', OTHER, `"${sha256(content)}"`]) isError(t, await put(service, content, 'song.mp3', { 'if-match': match }), 412, 'precondition_failed')
  t.match(service.log.of('upload.failed'), [{ level: 40, error_code: 'precondition_failed' }, {}, {}], 'with a closing line each')
  const client = await connect(t, service)
  await client.send('PUT /uploads/a.bin HTTP/1.1\r\nHost: a\r\nIf-Match: *\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
  isError(t, await client.answer(), 412, 'precondition_failed')
  t.same(b2.versions(), [])
  t.same(await service.localFiles(), [])
  for (const headers of [{ 'if-none-match': '*' }, { 'if-none-match': OTHER }, { 'if-unmodified-since': EARLIER }] as Record<string, string>[]) {
    t.equal((await put(service, content, 'song.mp3', headers)).status, 201)
  }
  t.equal(b2.versions().length, 3)
})

t.test('so is a form', async t => {
  const service = await startService(t)
  t.equal((await post(service, bytes(10))).status, 201)
  const form = new FormData()
  form.append('file', new Blob(['abc']), 'a.bin')
  const response = await fetch(`${service.url}/uploads`, { method: 'POST', body: form, headers: { 'if-match': '*' } })
  t.match([response.status, await response.json()], [412, { error_code: 'precondition_failed' }])
})
