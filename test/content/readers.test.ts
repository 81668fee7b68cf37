import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import type { UploadService } from '../../services/uploads.ts'
import { startCountingProxy } from '../support/clients/counting-proxy.ts'
import { contentPath, download, request, rest } from '../support/clients/download.ts'
import { CALM, KIB, MIB, PART, setPromotionStage } from '../support/promotion/promotion.ts'
import { connect } from '../support/clients/raw-http.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'

const SIZE = 40 * MIB // more than sockets and streams can hold, so that its reader waits
const CONTENT = bytes(SIZE)
// What is on its way to a reader that does not read: a few buffers of the kernel's, and the streams' own.
const MOST_ON_ITS_WAY = 24 * MIB

async function hashOf (answer: IncomingMessage): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of answer) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

for (const [storage, env] of [['b2', {}], ['local', { B2_ENDPOINT: '' }]] as const) {
  t.test(`a reader that does not read holds up the store, and nothing piles up (${storage})`, async t => {
    const b2 = await startB2(t)
    const proxy = await startCountingProxy(t, b2)
    const service = await startService(t, { ...b2Env(b2), ...CALM, B2_ENDPOINT: proxy.endpoint, ...env })
    const sockets: Socket[] = []
    service.app.server.on('connection', (socket: Socket) => { sockets.push(socket) })
    const { body } = await put(service, CONTENT)
    t.equal(body.storage, storage)
    const path = contentPath(body.track.key)

    const waiting = await request(service, path)
    const waitingSocket = sockets.at(-1)!
    // A whole download is time enough for everything that would be read ahead.
    t.equal(await hashOf(await request(service, path)), sha256(CONTENT))
    t.ok(waitingSocket.bytesWritten < MOST_ON_ITS_WAY, `${waitingSocket.bytesWritten} bytes were given to a reader that does not read`)
    const large = proxy.received.filter(count => count > MOST_ON_ITS_WAY)
    t.equal(large.length, storage === 'b2' ? 1 : 0, `B2 sent ${proxy.received.join(', ')} bytes`)

    t.equal(await hashOf(waiting), sha256(CONTENT), 'it gets all of them when it reads')
    t.equal(service.app.uploads.heldBytes, 0)
  })
}

t.test('a download that is aborted ends the read from B2', async t => {
  const { b2, service } = await setPromotionStage(t)
  const { body } = await put(service, CONTENT)
  const path = contentPath(body.track.key)
  for (const headers of [{}, { range: 'bytes=1-' }]) {
    const ended = b2.waitFor('response', ({ operation, key }) => operation === 'GetObject' && key!.endsWith('.bin'))
    const answer = await request(service, path, { headers })
    await once(answer, 'readable')
    answer.destroy()
    t.match(await ended, { outcome: 'client-gone' })
  }
  t.equal((await download(service, path)).isWhole, true)
  t.same(service.log.lines.filter(({ level }) => level >= 40), [], 'that is nobody\'s fault')
})

t.test('a host that lets go of a stream ends the read from B2, too', async t => {
  const { b2, service, uploads } = await setPromotionStage(t)
  const { body } = await put(service, CONTENT)
  const aborted = new AbortController()
  for (const letGo of [(stream: Readable) => { stream.destroy() }, () => { aborted.abort() }]) {
    const ended = b2.waitFor('response', ({ operation, key }) => operation === 'GetObject' && key!.endsWith('.bin'))
    const { stream } = await uploads.content(body.track.key.slice('tracks/'.length), undefined, aborted.signal)
    await once(stream, 'readable')
    stream.on('error', () => {})
    letGo(stream)
    t.match(await ended, { outcome: 'client-gone' })
  }
})

t.test('a host that asks for bytes that the file does not have is told so', async t => {
  const { service, uploads } = await setPromotionStage(t)
  const { body } = await put(service, bytes(KIB))
  const name = body.track.key.slice('tracks/'.length)
  for (const [first, last] of [[0, KIB], [5, 4], [-1, 4], [KIB, KIB]] as const) {
    await t.rejects(uploads.content(name, { first, last }), { error_code: 'range_not_satisfiable', statusCode: 416, message: /1024 bytes/ })
  }
  const { stream } = await uploads.content(name, { first: KIB - 1, last: KIB - 1 })
  t.equal((await buffer(stream)).byteLength, 1)
})

t.test('a client that is gone before its answer ends the request to B2', async t => {
  const { b2, service } = await setPromotionStage(t, { B2_STALL_TIMEOUT_MS: '100000' })
  const { body } = await put(service, bytes(KIB))
  for (const [method, operation] of [['GET', 'HeadObject'], ['HEAD', 'HeadObject'], ['GET', 'GetObject']] as const) {
    const hangs = b2.waitFor('fault')
    const ended = b2.waitFor('response', record => record.operation === operation)
    b2.fault({ operation, action: 'hang' })
    const client = await connect(t, service)
    await client.send(`${method} ${contentPath(body.track.key)} HTTP/1.1\r\nhost: x\r\n\r\n`)
    await hangs
    client.socket.resetAndDestroy()
    t.match(await ended, { outcome: 'hung' }, `${operation} for ${method}`)
  }
  t.same(service.log.lines.filter(({ level }) => level >= 40), [])
})

t.test('a client that only closes its side gets all of its answer', async t => {
  const { service } = await setPromotionStage(t)
  const content = bytes(12 * MIB)
  const { body } = await put(service, content)
  const client = await connect(t, service)
  client.socket.end(`GET ${contentPath(body.track.key)} HTTP/1.1\r\nhost: x\r\n\r\n`)
  const answer = Buffer.from(await client.rest(), 'latin1')
  t.equal(sha256(answer.subarray(answer.indexOf('\r\n\r\n') + 4)), sha256(content))
})

t.test('readers see all of a file at each moment of its promotion', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t)
  for (const size of [0, KIB, 12 * MIB]) {
    const { key, content } = await fallBack(size)
    // So that there is time to read at each step.
    b2.fault({ operation: ['PutObject', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'], delayMs: 50, times: Infinity })
    const from = size >> 1
    const kinds = [
      { method: 'GET', headers: {}, wanted: `GET 200 true ${sha256(content)}` },
      { method: 'GET', headers: { range: `bytes=${from}-` }, wanted: `GET ${size === 0 ? 200 : 206} true ${sha256(content.subarray(from))}` },
      { method: 'HEAD', headers: {}, wanted: `HEAD 200 true ${sha256(Buffer.alloc(0))}` },
    ] as const
    const seen = new Set<string>()
    const state = { over: false }
    const readers = kinds.map(async ({ method, headers }) => {
      for (let isLast = false; !isLast;) {
        isLast = state.over
        const { status, isWhole, body } = await download(service, contentPath(key), { method, headers })
        seen.add(`${method} ${status} ${isWhole} ${sha256(body)}`)
      }
    })
    t.match(await uploads.promote(), { promoted: 1, pending: 0 })
    state.over = true
    await Promise.all(readers)
    t.same([...seen].sort(), [...new Set(kinds.map(({ wanted }) => wanted))].sort())
    b2.clearFaults()
  }
})

t.test('a file that was found here is read from B2 when it has gone there, and an open one to its end', async t => {
  const { service, uploads, fallBack } = await setPromotionStage(t)
  const { key, content } = await fallBack(SIZE)
  const found = await (uploads as UploadService).find(key.slice('tracks/'.length))
  const reading = await request(service, contentPath(key))
  t.match(await uploads.promote(), { promoted: 1 })
  t.same(await service.localFiles(), [])
  t.equal(await hashOf(reading), sha256(content))
  const hash = createHash('sha256')
  for await (const chunk of await found.open()) hash.update(chunk as Buffer)
  t.equal(hash.digest('hex'), sha256(content))
})

t.test('a file that is deleted while it is read is read to its end, or cut', async t => {
  const { b2, service, fallBack } = await setPromotionStage(t)
  const here = await fallBack(SIZE)
  const there: string = (await put(service, CONTENT)).body.track.key
  const broken: string = (await put(service, CONTENT)).body.track.key
  b2.fault({ operation: 'GetObject', key: broken, action: 'truncate-answer', atByte: SIZE - PART })
  for (const [key, expected, isWhole] of [[here.key, here.content, true], [there, CONTENT, true], [broken, CONTENT, false]] as const) {
    const reading = await request(service, contentPath(key))
    t.equal((await fetch(`${service.url}${contentPath(key).replace('/content', '')}`, { method: 'DELETE' })).status, 204)
    const answer = await rest(reading)
    t.match(answer, { status: 200, isWhole })
    t.ok(expected.subarray(0, answer.body.byteLength).equals(answer.body))
    t.match(await download(service, contentPath(key)), { status: 404 })
  }
})

t.test('at shutdown a download gets the time of grace to end, and is cut then', async t => {
  for (const [graceMs, isWhole] of [['60000', true], ['100', false]] as const) {
    const { service } = await setPromotionStage(t, { SHUTDOWN_GRACE_MS: graceMs })
    const reading = await request(service, contentPath((await put(service, CONTENT)).body.track.key))
    const closed = service.app.close()
    if (!isWhole) await closed
    const answer = await rest(reading)
    t.equal(answer.isWhole, isWhole)
    t.ok(CONTENT.subarray(0, answer.body.byteLength).equals(answer.body))
    await closed
  }
})
