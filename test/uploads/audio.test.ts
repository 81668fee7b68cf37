import t from 'tap'
import { m4a } from '../../scripts/samples/audio.ts'
import { isTagged, samples, tagLargeFiles, tags, tagSmallFiles } from '../support/uploads/audio.ts'
import { b2Env, post, put, sha256, startB2, startService } from '../support/service/service.ts'

tagSmallFiles('B2')
tagLargeFiles('B2', ['a.m4a'])

t.test('a fallback has the same tags as B2 would have had', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', BREAKER_THRESHOLD: '0' })
  const content = m4a({ ...tags, minBytes: 12_000_000, moovAtEnd: true })
  b2.fault({ operation: 'UploadPart', part: 1, status: 403, code: 'AccessDenied', times: Infinity })
  b2.fault({ operation: 'PutObject', status: 403, code: 'AccessDenied', times: Infinity })
  const parts = await put(service, content, 'a.m4a')
  t.equal(parts.body.storage, 'local')
  t.match(parts.body.track, { sha256: sha256(content), audio: { title: tags.title, artist: tags.artist } })
  const [name, small, type, audio] = samples[1]!
  isTagged(t, await post(service, small, name), small, type, audio)
})

t.test('files that only pretend to be audio are stored, without tags', async t => {
  const service = await startService(t)
  for (const content of [Buffer.from('ID3'), Buffer.concat([Buffer.from('ID3\x04\x00\x00\x7f\x7f\x7f\x7f', 'latin1'), Buffer.alloc(1_000)]), Buffer.from('RIFF\xff\xff\xff\xffWAVE', 'latin1'), Buffer.from('fLaC')]) {
    const { status, body } = await put(service, content, 'a.mp3', { 'content-type': 'audio/mpeg' })
    t.equal(status, 201)
    t.equal(body.track.sha256, sha256(content))
    t.equal(body.track.audio?.duration_seconds ?? null, null)
  }
})
