import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { setTimeout as wait } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import b2Uploads from '../../index.ts'
import { contentPath, download } from '../support/clients/download.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'
import { CONTENT, IDLE_MS, MIB } from '../support/clients/standing-readers.ts'

t.test('a reader is not blamed for a store that gives nothing', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '1200', DOWNLOAD_IDLE_TIMEOUT_MS: '300' })
  const content = bytes(6 * MIB)
  const path = contentPath((await put(service, content)).body.track.key)
  b2.fault({ operation: 'GetObject', bytesPerSecond: 5_000 }) // too slow: it is asked again on a new connection, after a while
  const { body, isWhole } = await download(service, path)
  t.equal(isWhole, true)
  t.equal(sha256(body), sha256(content))
})

t.test('in HTTP/2 a reader that takes nothing of its stream is ended, though another one on its connection reads', async t => {
  const app = Fastify({ http2: true })
  await app.register(b2Uploads, { local: { dir: t.testdir() }, downloads: { idleTimeoutMs: IDLE_MS } })
  const client = connectHttp2(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.teardown(async () => {
    client.destroy()
    await app.close()
  })
  const upload = client.request({ ':method': 'PUT', ':path': '/uploads/a.bin' })
  upload.end(CONTENT)
  const [headers] = await once(upload, 'response')
  upload.resume()
  const path = `${headers['location']}/content`
  const standing = client.request({ ':path': path })
  const ended = once(standing, 'error')
  await once(standing, 'response')
  let over = false
  ended.finally(() => { over = true }).catch(() => {})
  const slow = client.request({ ':path': path })
  const chunks: Buffer[] = []
  for await (const chunk of slow) {
    chunks.push(chunk as Buffer)
    if (!over) await wait(10)
  }
  t.equal(sha256(Buffer.concat(chunks)), sha256(CONTENT), 'the other one is served to its end')
  t.match(await ended, [{ code: 'ERR_HTTP2_STREAM_ERROR' }])
})
