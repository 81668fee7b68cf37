import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import t from 'tap'
import type { UploadService } from '../../services/uploads.ts'
import { startCountingProxy } from '../support/clients/counting-proxy.ts'
import { contentPath, download, hashOf, request, rest } from '../support/clients/download.ts'
import { CALM, MIB, PART, setPromotionStage } from '../support/promotion/promotion.ts'
import { connect } from '../support/clients/raw-http.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'

const SIZE = 40 * MIB // more than sockets and streams can hold, so that its reader waits
const CONTENT = bytes(SIZE)
// What is on its way to a reader that does not read: a few buffers of the kernel's, and the streams' own.
const MOST_ON_ITS_WAY = 24 * MIB

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

t.test('a client that only closes its side gets all of its answer', async t => {
  const { service } = await setPromotionStage(t)
  const content = bytes(12 * MIB)
  const { body } = await put(service, content)
  const client = await connect(t, service)
  client.socket.end(`GET ${contentPath(body.track.key)} HTTP/1.1\r\nhost: x\r\n\r\n`)
  const answer = Buffer.from(await client.rest(), 'latin1')
  t.equal(sha256(answer.subarray(answer.indexOf('\r\n\r\n') + 4)), sha256(content))
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
