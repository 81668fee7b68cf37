import t from 'tap'
import http from 'node:http'
import { b2Env, bytes, inB2, put, sha256, startB2, startService } from '../support/service/service.ts'

t.test('a client that lost the answer sends the file again with its Idempotency-Key: it is stored once, and the answer is its receipt', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, b2Env(b2))
  const content = bytes(10_000)
  const headers = { 'idempotency-key': '"8e03978e-40d5-43dd-bc93-6894a57f9324"' }
  const lost = http.request(`${service.url}/uploads/song.mp3`, { method: 'PUT', agent: false, headers: { 'content-length': content.byteLength, ...headers } })
  lost.on('error', () => {})
  const stored = b2.waitFor('applied', ({ operation }) => operation === 'PutObject')
  lost.end(content)
  await stored
  lost.destroy()
  await service.log.until(({ event }) => event === 'upload.stored')

  const again = await put(service, content, 'song.mp3', headers)
  t.match(again.body, { storage: 'b2', track: { id: /^.{14}8/, size_bytes: 10_000, sha256: sha256(content) } })
  t.same([again.status, again.headers.get('idempotency-replayed'), again.headers.get('location')], [201, 'true', `/uploads/${again.body.track.id}.mp3`])
  t.same(inB2(b2).files.map(({ key, sha256 }) => ({ key, sha256 })), [{ key: again.body.track.key, sha256: sha256(content) }])
  const bare = await put(service, content, 'song.mp3', { 'idempotency-key': '8e03978e-40d5-43dd-bc93-6894a57f9324' })
  t.same(bare.body, again.body, 'without quotes it is the same key')
  t.equal((await put(service, content, 'other.mp3', headers)).body.error_code, 'idempotency_key_reused')
  t.equal(service.log.of('upload.stored').length, 1)

  const before = b2.requests.length
  t.equal((await put(service, content)).status, 201)
  t.same(b2.requests.slice(before).map(({ operation }) => operation), ['PutObject'], 'without the header B2 is not asked first')
})
