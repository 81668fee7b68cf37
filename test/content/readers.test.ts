import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { contentPath, download, request } from '../support/clients/download.ts'
import { KIB, MIB, setPromotionStage } from '../support/promotion/promotion.ts'
import { connect } from '../support/clients/raw-http.ts'
import { bytes, put, sha256 } from '../support/service/service.ts'

const SIZE = 32 * MIB // more than sockets and streams can hold, so that its reader waits
const CONTENT = bytes(SIZE)

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
