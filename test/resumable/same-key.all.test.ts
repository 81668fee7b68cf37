import t from 'tap'
import { ask, head, isRefused, metadata, patch, PIECE } from '../support/resumable/tus.ts'
import type { TusAnswer, TusHeaders } from '../support/resumable/tus.ts'
import { b2Env, bytes, inB2, settledFiles, sha256, startB2, startService } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'

const SIZE = 9_000_000
const content = bytes(SIZE)
const HEADERS = { 'idempotency-key': '"one"', 'upload-length': SIZE, 'upload-metadata': metadata({ filename: 'song.mp3' }) }

async function begin (service: Pick<TestService, 'url'>, more: TusHeaders = {}, piece?: Uint8Array): Promise<TusAnswer> {
  return await ask(service, 'POST', '/resumable', { ...HEADERS, ...more }, piece)
}

/** Status, place, offset, file, and whether it was there before. */
function gist ({ status, headers }: TusAnswer): unknown[] {
  return [status, headers.get('location'), headers.get('upload-offset'), headers.get('content-location'), headers.get('idempotency-replayed')]
}

t.test('a creation that is sent again with its key gives the same upload, also at another instance and once it is complete', async t => {
  const b2 = await startB2(t)
  const env = { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_PART_BYTES: String(5 * 1_048_576) }
  const [service, other] = [await startService(t, env), await startService(t, env)]
  const first = await begin(service)
  const path = first.headers.get('location')!
  t.match(path, /^\/resumable\/[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f-]{17}\.mp3$/)
  t.same(gist(first), [201, path, null, null, null])
  t.same(gist(await begin(service)), [201, path, '0', null, 'true'])
  t.equal((await patch(service, path, 0, content.subarray(0, 6_000_000))).status, 204)
  for (const each of [service, other]) t.same(gist(await begin(each, PIECE, content.subarray(0, 1_000))), [201, path, '6000000', null, 'true'], 'its body is not read')
  isRefused(t, await begin(service, { 'upload-metadata': metadata({ filename: 'sing.mp3' }) }), 422, 'idempotency_key_reused')
  isRefused(t, await begin(service, { 'upload-length': SIZE - 1 }), 422, 'idempotency_key_reused')
  isRefused(t, await begin(service, { 'idempotency-key': '"' }), 400, 'invalid_request')

  const file = path.replace('resumable', 'uploads')
  t.equal((await patch(service, path, 6_000_000, content.subarray(6_000_000))).headers.get('content-location'), file)
  for (const each of [service, other]) t.same(gist(await begin(each)), [201, path, String(SIZE), file, 'true'])
  t.same(inB2(b2).files.filter(({ key }) => !key.includes('.resumable/')).map(({ sha256 }) => sha256), [sha256(content)])

  t.equal((await fetch(`${service.url}${file}`, { method: 'DELETE' })).status, 204)
  let again = await begin(service)
  while (again.status === 409) again = await begin(service)
  t.same(gist(again), [201, path, null, null, null], 'the key of a deleted file is free')
  t.equal((await head(service, path)).headers.get('upload-offset'), '0')
  t.equal((await patch(service, path, 0, content)).headers.get('content-location'), file)
  t.same(await settledFiles(service), [])
})

t.test('the key of an upload that was ended is free, once nothing of it is left', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' })
  const path = (await begin(service)).headers.get('location')!
  t.equal((await patch(service, path, 0, content.subarray(0, 100))).status, 204)
  const down = b2.fault({ operation: 'ListObjectVersions', status: 503, times: Infinity })
  t.equal((await ask(service, 'DELETE', path)).status, 204)
  isRefused(t, await begin(service), 409, 'upload_in_progress')
  down.cancel()
  let again = await begin(service)
  while (again.status === 409) {
    await service.app.uploads.promote()
    again = await begin(service)
  }
  t.same(gist(again), [201, path, null, null, null])
  t.equal((await head(service, path)).headers.get('upload-offset'), '0')
})

t.test('ten creations at once make one upload, and so does a file that comes with each of them', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' })
  for (const piece of [undefined, content]) {
    const more = { 'idempotency-key': String(piece?.byteLength), ...(piece === undefined ? {} : PIECE) }
    const answers = await Promise.all(Array.from({ length: 10 }, async () => await begin(service, more, piece)))
    t.ok(answers.every(({ status }) => status === 201 || status === 423))
    t.equal(answers.filter(({ status, headers }) => status === 201 && !headers.has('idempotency-replayed')).length, 1)
    t.equal(new Set(answers.filter(({ status }) => status === 201).map(({ headers }) => headers.get('location'))).size, 1)
  }
  t.same(inB2(b2).files.filter(({ key }) => !key.includes('.resumable/')).map(({ sha256 }) => sha256), [sha256(content)])
})
