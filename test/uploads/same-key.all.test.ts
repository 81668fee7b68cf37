import { rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { Readable } from 'node:stream'
import Fastify from 'fastify'
import t from 'tap'
import b2Uploads from '../../index.ts'
import type { B2Emulator } from '../../emulator/index.ts'
import { connect } from '../support/clients/raw-http.ts'
import { atEvent, randomFrom, setKillStage } from '../support/faults/kills.ts'
import { filePart, form, postBody } from '../support/forms/forms.ts'
import { CALM, filesIn, MIB, PART } from '../support/promotion/promotion.ts'
import { countsOf, scrape } from '../support/service/metrics.ts'
import { receiptOf } from '../support/service/stored-files.ts'
import { b2Env, bytes, inB2, put, settledFiles, sha256, startB2, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'

const KEY = { 'idempotency-key': '"one"' }
const SIZES = { 'a small file': 10_000, 'a file of three parts': 12 * MIB }
const ENV = { ...CALM, REPLAY_WINDOW_BYTES: String(16 * MIB) }

const isReplay = ({ headers }: Answer): boolean => headers.get('idempotency-replayed') === 'true'
const nameOf = ({ body }: Answer): string => body.track.key.slice('tracks/'.length)

/** B2 has this file once, with no receipt beside it that is not its own. */
function isOnce (t: Parameters<typeof startB2>[0], b2: B2Emulator, content: Uint8Array, { body: { track } }: Answer): void {
  const { files, receipts } = inB2(b2)
  t.same(files.map(({ key, sha256 }) => [key, sha256]), [[track.key, sha256(content)]], 'once')
  t.same(receipts.map(({ key }) => key), content.byteLength > PART ? [`${track.key}.${files[0]!.metadata['attempt']}.receipt.json`] : [], 'its receipt')
  t.same(b2.unfinishedUploads(), [])
}

for (const [what, size] of Object.entries(SIZES)) {
  const content = bytes(size)

  for (const count of [1, 2]) {
    t.test(`50 requests with one key at once, at ${count} of the services of one bucket: ${what} is stored once`, async t => {
      const b2 = await startB2(t)
      const services: TestService[] = []
      for (let index = 0; index < count; index++) services.push(await startService(t, { ...b2Env(b2), ...ENV }))
      const all = await Promise.all(Array.from({ length: size > MIB ? 10 : 50 }, async (_, index) => await put(services[index % count]!, content, 'song.mp3', KEY).catch(() => undefined)))
      const answers = all.filter(answer => answer !== undefined)
      const won = answers.filter(({ status }) => status === 201)
      t.ok(won.length > 0 || count > 1, 'one of them')
      t.ok(answers.every(({ status, body, headers }) => status === 201 || (status === 409 && body.error_code === 'upload_in_progress' && headers.get('retry-after') === '2')), 'each is stored or told to wait')
      const after = []
      for (const service of services) after.push(await put(service, content, 'song.mp3', KEY))
      t.same(after.map(({ status }) => status), services.map(() => 201))
      t.ok(won.length === 0 || isReplay(after[0]!))
      for (const { body } of [...won, ...after]) t.same(body, after[0]!.body, 'all have its receipt')
      isOnce(t, b2, content, after[0]!)
      for (const service of services) t.same(await settledFiles(service), [])
    })
  }

  t.test(`B2's answer to ${what} is lost, and its client asks again`, async t => {
    const b2 = await startB2(t)
    const service = await startService(t, { ...b2Env(b2), ...ENV })
    b2.fault({ operation: ['PutObject', 'CompleteMultipartUpload'], key: key => !key.endsWith('.json'), action: 'lose-answer' })
    const first = await put(service, content, 'song.mp3', KEY)
    const again = await put(service, content, 'song.mp3', KEY)
    t.same([first.status, isReplay(first), again.status, isReplay(again)], [201, false, 201, true])
    t.same(again.body, first.body)
    isOnce(t, b2, content, first)
  })

  t.test(`B2's answer to ${what} is lost, and nobody can find out: it is in local storage, then promoted, and the same file all the time`, async t => {
    const b2 = await startB2(t)
    const service = await startService(t, { ...b2Env(b2), ...ENV })
    const faults = [
      b2.fault({ operation: ['PutObject', 'CompleteMultipartUpload'], key: key => !key.endsWith('.json'), action: 'lose-answer', times: Infinity }),
      b2.fault({ operation: 'HeadObject', status: 503, times: Infinity, after: 1 }),
    ]
    const first = await put(service, content, 'song.mp3', KEY)
    t.same([first.status, first.body.storage], [201, 'local'])
    const meanwhile = await put(service, content, 'song.mp3', KEY)
    t.same([isReplay(meanwhile), meanwhile.body], [true, first.body])
    for (const fault of faults) fault.cancel()
    t.match(await service.app.uploads.promote(), { promoted: 1 })
    const again = await put(service, content, 'song.mp3', KEY)
    t.same([isReplay(again), again.body], [true, { storage: 'b2', location: first.body.track.key, track: first.body.track }])
    t.same(await settledFiles(service), [])
    isOnce(t, b2, content, first)
  })

  t.test(`a service is killed after B2 has ${what} and before its client is answered`, async t => {
    const stage = await setKillStage(t, randomFrom(1), { REPLAY_WINDOW_BYTES: ENV.REPLAY_WINDOW_BYTES })
    const { b2 } = stage
    const service = await stage.start()
    const held = b2.fault({ operation: size > PART ? 'CompleteMultipartUpload' : 'PutObject', delayMs: Infinity, key: key => !key.endsWith('.json') })
    const applied = b2.waitFor('applied', ({ key, operation }) => !key!.endsWith('.json') && ['CompleteMultipartUpload', 'PutObject'].includes(operation))
    const lost = put(service, content, 'song.mp3', KEY).catch(() => undefined)
    await applied
    await service.kill()
    held.cancel()
    t.equal(await lost, undefined)
    const next = await stage.start()
    const again = await put(next, content, 'song.mp3', KEY)
    t.same([again.status, isReplay(again), again.body.track.sha256], [201, true, sha256(content)])
    isOnce(t, b2, content, again)
    stage.acknowledge(again, content)
    await next.kill()
    await stage.finish()
  })

  t.test(`a service is killed in the middle of ${what}: its key is free`, async t => {
    const stage = await setKillStage(t, randomFrom(1))
    const { b2 } = stage
    const service = await stage.start()
    b2.fault({ operation: ['UploadPart', 'PutObject'], action: 'hang' })
    const lost = put(service, content, 'song.mp3', KEY).catch(() => undefined)
    await atEvent(b2, 'fault', 1, 10_000)
    await service.kill()
    await lost
    const next = await stage.start()
    const again = await put(next, content, 'song.mp3', KEY)
    t.same([again.status, isReplay(again)], [201, false])
    t.same(inB2(b2).files.map(({ sha256 }) => sha256), [sha256(content)])
    stage.acknowledge(again, content)
    await next.kill()
    await stage.finish()
  })

  t.test(`${what}: fallback, restart, another instance, promotion, deletion`, async t => {
    const b2 = await startB2(t)
    const dir = t.testdir()
    const env = { ...b2Env(b2), ...ENV }
    const service = await startService(t, { ...env, LOCAL_STORAGE_DIR: dir })
    const down = b2.fault({ operation: ['PutObject', 'CreateMultipartUpload'], status: 503, times: Infinity })
    const first = await put(service, content, 'song.mp3', KEY)
    t.equal(first.body.storage, 'local')
    await service.app.close()
    const restarted = await startService(t, { ...env, LOCAL_STORAGE_DIR: dir })
    const again = await put(restarted, content, 'song.mp3', KEY)
    t.same([again.status, isReplay(again), again.body], [201, true, first.body], 'after a restart')
    down.cancel()
    await restarted.app.uploads.promote()
    const inBucket = { storage: 'b2', location: first.body.track.key, track: first.body.track }
    const other = await startService(t, env)
    for (const [where, each] of Object.entries({ 'where it was': restarted, elsewhere: other })) {
      const answer = await put(each, content, 'song.mp3', KEY)
      t.same([answer.status, isReplay(answer), answer.body], [201, true, inBucket], where)
    }
    t.equal((await fetch(`${other.url}/uploads/${nameOf(first)}`, { method: 'DELETE' })).status, 204)
    t.same(b2.versions(), [], 'its receipt goes with it')
    const anew = await put(restarted, content, 'song.mp3', KEY)
    t.same([anew.status, isReplay(anew), anew.body.track.id], [201, false, first.body.track.id], 'the key of a deleted file is free')
    isOnce(t, b2, content, anew)
  })
}

t.test('a client leaves after its last byte, and asks again while the file is stored and after that', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...ENV })
  const content = bytes(10_000)
  const held = b2.fault({ operation: 'PutObject', delayMs: Infinity })
  const applied = b2.waitFor('applied', ({ operation }) => operation === 'PutObject')
  const body = form(filePart(content))
  const lost = http.request(`${service.url}/uploads`, { method: 'POST', agent: false, headers: { 'content-type': 'multipart/form-data; boundary=the-boundary-of-this-form', 'content-length': body.byteLength, ...KEY } })
  lost.on('error', () => {})
  lost.end(body)
  await applied
  lost.destroy()
  const send = async (): Promise<Answer> => await postBody(service, body, undefined, KEY)
  const early = await send()
  t.same([early.status, early.body.error_code, early.headers.get('retry-after')], [409, 'upload_in_progress', '2'])
  held.release()
  await service.log.until(({ event }) => event === 'upload.stored')
  const again = await send()
  t.same([again.status, isReplay(again), again.body.track.sha256], [201, true, sha256(content)])
  isOnce(t, b2, content, again)
  t.match(service.log.of('upload.replayed'), [{ level: 30, location: again.body.track.key, storage: 'b2', size_bytes: 10_000, duration_ms: Number, correlation_id: again.headers.get('x-correlation-id') }])
  const { samples } = await scrape(service)
  t.equal(samples.get('upload_replays_total'), 1)
  t.same(countsOf(samples, 'uploads_total'), { 'uploads_total{storage="b2",result="stored"}': 1, 'uploads_total{storage="none",result="failed"}': 1 })
})

t.test('a replay is answered before the file is sent', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...ENV })
  const content = bytes(10_000)
  const first = await put(service, content, 'song.bin', KEY)
  const head = (line: string, more: string): string => `${line} HTTP/1.1\r\nhost: x\r\nidempotency-key: one\r\n${more}\r\n\r\n`
  for (const [what, request] of Object.entries({
    'a client that waits for 100 Continue': head('PUT /uploads/song.bin', 'expect: 100-continue\r\ncontent-length: 10000'),
    'a body of unknown length': head('PUT /uploads/song.bin', 'transfer-encoding: chunked'),
    'a form up to the head of its file': head('POST /uploads', 'content-type: multipart/form-data; boundary=x\r\ncontent-length: 1000000') +
      '--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nb\r\n--x\r\ncontent-disposition: form-data; name="file"; filename="song.bin"\r\n\r\nthe beginning',
  })) {
    const client = await connect(t, service)
    await client.send(request)
    const answer = (await client.answer())!
    t.same([answer.status, answer.headers.get('idempotency-replayed'), answer.headers.get('connection')], [201, 'true', 'close'], what)
    t.same(answer.body, first.body, what)
    t.equal(answer.isContinued, false, what)
    client.socket.end()
    t.equal(await client.rest(), '', what)
  }
  t.equal(service.app.uploads.inFlight, 0)
  t.equal(service.app.uploads.heldBytes, 0)
})

t.test('another file, another length, a key that can\'t be read', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...ENV })
  const content = bytes(1_000)
  const first = await put(service, content, 'song.mp3', KEY)
  const answers = {
    'another name': await put(service, content, 'sing.mp3', KEY),
    'another length': await put(service, bytes(1_001), 'song.mp3', KEY),
    'another name in a form': await postBody(service, form(filePart(content, { filename: 'sing.mp3' })), undefined, KEY),
  }
  for (const [what, { status, body }] of Object.entries(answers)) t.same([status, body.error_code], [422, 'idempotency_key_reused'], what)
  t.equal((await postBody(service, form(filePart(bytes(5), { filename: 'song.mp3' })), undefined, KEY)).status, 201, 'the length of a form is not that of its file')
  t.same((await receiptOf(service, nameOf(first))).body, first.body)
  for (const key of ['', '"', '"a', '"a"b', 'ä', 'a'.repeat(256), '""', `"${'a'.repeat(256)}"`, '1\t2']) {
    const { status, body } = await put(service, content, 'song.mp3', { 'idempotency-key': key })
    t.same([status, body.error_code], [400, 'invalid_request'], JSON.stringify(key))
  }
  const client = await connect(t, service)
  await client.send('PUT /uploads/a HTTP/1.1\r\nhost: x\r\nidempotency-key: a\r\nidempotency-key: b\r\ncontent-length: 1\r\n\r\n1')
  t.equal((await client.answer())?.status, 400, 'two keys')
  const same = [await put(service, content, 'a.mp3', { 'idempotency-key': '"a\\"b c";x=1' }), await put(service, content, 'a.mp3', { 'idempotency-key': 'a"b c' })]
  t.same(same.map(isReplay), [false, true])
  t.equal((await put(service, content, 'a.mp3', { 'idempotency-key': 'a'.repeat(255) })).status, 201)
})

t.test('a failed upload frees its key, once nothing of it can appear any more', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...ENV, UPLOAD_MAX_BYTES: String(20 * MIB) })
  const content = bytes(10_000)
  const faults = [b2.fault({ operation: 'PutObject', action: 'lose-answer', times: Infinity }), b2.fault({ operation: ['HeadObject', 'ListObjectVersions'], status: 503, times: Infinity, after: 1 })]
  await rm(service.dir, { recursive: true })
  await writeFile(service.dir, 'in the way')
  const failed = await put(service, content, 'song.mp3', KEY)
  t.same([failed.status, failed.body.error_code], [503, 'storage_unavailable'])
  const early = await put(service, content, 'song.mp3', KEY)
  t.same([early.status, early.body.error_code], [409, 'upload_in_progress'], 'B2 has an object of it that is to be removed')
  for (const fault of faults) fault.cancel()
  await rm(service.dir)
  while (filesIn(b2).length > 0) {
    await service.app.uploads.promote()
    await b2.waitFor('response')
  }
  let again = await put(service, content, 'song.mp3', KEY)
  while (again.status === 409) again = await put(service, content, 'song.mp3', KEY)
  t.same([again.status, isReplay(again)], [201, false])
  isOnce(t, b2, content, again)
})

t.test('B2 can\'t be asked: the file is stored locally, and promotion finds out', async t => {
  for (const same of [true, false]) {
    await t.test(same ? 'that B2 has it' : 'that B2 has another file, which removes neither', async t => {
      const b2 = await startB2(t)
      const env = { ...b2Env(b2), ...ENV }
      const [one, other] = [await startService(t, env), await startService(t, env)]
      const contents = [bytes(10_000), same ? undefined : bytes(9_999)]
      const first = await put(one, contents[0]!, 'song.mp3', KEY)
      const blind = b2.fault({ operation: 'HeadObject', status: 503, times: Infinity })
      const second = await put(other, contents[1] ?? contents[0]!, 'song.mp3', KEY)
      t.match([second.status, second.body], [201, { storage: 'local', fallback_from_b2: true, fallback_reason: { error_code: 'service_unavailable' }, track: { id: first.body.track.id } }])
      blind.cancel()
      t.match(await other.app.uploads.promote(), same ? { promoted: 1 } : { promoted: 0, set_aside: 1 })
      t.same(inB2(b2).files.map(({ sha256 }) => sha256), [sha256(contents[0]!)])
      if (same) t.same(await settledFiles(other), [])
      else {
        t.match(other.log.of('promotion.failed'), [{ level: 50, set_aside: true, error_code: 'another_file' }])
        t.same((await receiptOf(other, nameOf(first))).body, second.body, 'the one in local storage stays')
      }
    })
  }
})

t.test('keys of different callers have nothing to do with each other', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...ENV, API_KEYS: 'a:the-token-of-one-caller,b:the-token-of-another' })
  const send = async (token: string): Promise<Answer> => await put(service, bytes(10), 'a.mp3', { ...KEY, authorization: `Bearer ${token}` })
  const answers = [await send('the-token-of-one-caller'), await send('the-token-of-another'), await send('the-token-of-one-caller')]
  t.same(answers.map(isReplay), [false, false, true])
  t.equal(new Set(answers.map(({ body }) => body.track.id)).size, 2)
})

t.test('in a host the header counts only with the option caller; store() takes a key of its own', async t => {
  for (const hasCaller of [false, true]) {
    const app = Fastify()
    t.teardown(() => app.close())
    const told: unknown[] = []
    await app.register(b2Uploads, { local: { dir: t.testdir() }, onStored: ({ track: { id } }, { request, isReplay }) => { told.push([id, request?.headers['x-user'], isReplay]) }, ...(hasCaller ? { caller: ({ headers }) => String(headers['x-user']) } : {}) })
    const service = { url: await app.listen({ port: 0, host: '127.0.0.1' }) }
    const answers = []
    for (const user of ['a', 'a', 'b']) answers.push(await put(service, bytes(10), 'a.mp3', { ...KEY, 'x-user': user }))
    t.same(answers.map(isReplay), [false, hasCaller, false])
    t.equal(new Set(answers.map(({ body }) => body.track.id)).size, hasCaller ? 2 : 3)
    t.same(told, answers.map((answer, index) => [answer.body.track.id, ['a', 'a', 'b'][index], isReplay(answer) ? true : undefined]), 'the host is told of each')
    const [source, again] = [Readable.from([bytes(10)]), Readable.from([bytes(10)])]
    const receipt = await app.uploads.store(source, { filename: 'a.mp3', idempotencyKey: 'one' })
    t.same(await app.uploads.store(again, { filename: 'a.mp3', idempotencyKey: 'one' }), receipt)
    t.ok(again.destroyed)
    t.notOk(answers.some(({ body }) => body.track.id === receipt.track.id))
    await t.rejects(app.uploads.store(Readable.from([bytes(10)]), { filename: 'b.mp3', idempotencyKey: 'one' }), /now with "b.mp3"/)
    await t.rejects(app.uploads.store(Readable.from([bytes(10)]), { idempotencyKey: 'ä' }), TypeError)
  }
})
