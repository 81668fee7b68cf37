import { once } from 'node:events'
import t from 'tap'
import { connect, isError } from '../../support/clients/raw-http.ts'
import { bytes, sha256, startService } from '../../support/service/service.ts'

const FILE = bytes(200_000)
const H2C = 'connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n'
const HEALTH = 'GET /health HTTP/1.1\r\nhost: x\r\n\r\n'
const FORM = Buffer.from('--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--b--\r\n')

const OFFERS = {
  'a GET': { bytes: Buffer.from(`GET /health HTTP/1.1\r\nhost: x\r\n${H2C}\r\n`), status: 200 },
  'a GET that offers WebSocket': { bytes: Buffer.from('GET /health HTTP/1.1\r\nhost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n'), status: 200 },
  'a PUT': { bytes: Buffer.concat([Buffer.from(`PUT /uploads/a.bin HTTP/1.1\r\nhost: x\r\n${H2C}content-length: ${FILE.byteLength}\r\n\r\n`), FILE]), status: 201, content: FILE },
  'a chunked PUT': { bytes: Buffer.from(`PUT /uploads/a.bin HTTP/1.1\r\nhost: x\r\n${H2C}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`), status: 201, content: Buffer.from('hello') },
  'a form': { bytes: Buffer.concat([Buffer.from(`POST /uploads HTTP/1.1\r\nhost: x\r\n${H2C}content-type: multipart/form-data; boundary=b\r\ncontent-length: ${FORM.byteLength}\r\n\r\n`), FORM]), status: 201, content: Buffer.from('hello') },
} as const

for (const [name, offer] of Object.entries(OFFERS)) {
  t.test(`${name} that offers another protocol is answered, and so is the request behind it`, async t => {
    const service = await startService(t)
    const all = Buffer.concat([offer.bytes, Buffer.from(HEALTH)])
    const cuts: Buffer[][] = [[all], [offer.bytes, Buffer.from(HEALTH)], [all.subarray(0, 150), all.subarray(150)], [all.subarray(0, 30), all.subarray(30, 220), all.subarray(220)]]
    for (const pieces of cuts) {
      const client = await connect(t, service)
      client.socket.setNoDelay(true)
      for (const piece of pieces) {
        await client.send(piece)
        await new Promise(resolve => setImmediate(resolve))
      }
      const first = await client.answer()
      t.equal(first?.status, offer.status)
      if ('content' in offer) t.equal(first?.body.track.sha256, sha256(offer.content))
      t.same((await client.answer())?.body, { status: 'ok' }, 'the request behind it')
    }
  })
}

t.test('requests before and behind offers are answered in their order, however many there are', async t => {
  const service = await startService(t)
  const client = await connect(t, service)
  const warnings: Error[] = []
  const warned = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', warned)
  t.teardown(() => { process.off('warning', warned) })
  const put = Buffer.concat([Buffer.from(`PUT /uploads/first.bin HTTP/1.1\r\nhost: x\r\ncontent-length: ${FILE.byteLength}\r\n\r\n`), FILE])
  const offers = Array.from({ length: 15 }, (_, index) => `GET /nowhere/${index} HTTP/1.1\r\nhost: x\r\n${H2C}\r\n`).join('')
  await client.send(Buffer.concat([put, Buffer.from(offers + HEALTH)]))
  t.equal((await client.answer())?.status, 201)
  for (let index = 0; index < 15; index++) {
    const answer = await client.answer()
    isError(t, answer, 404, 'not_found')
    t.match(answer?.body.detail, `/nowhere/${index}.`)
  }
  t.same((await client.answer())?.body, { status: 'ok' })
  t.same(warnings, [])
})

t.test('a connection that is to close after the offer is closed', async t => {
  const service = await startService(t)
  const client = await connect(t, service)
  await client.send('GET /health HTTP/1.1\r\nhost: x\r\nconnection: close, Upgrade\r\nupgrade: h2c\r\n\r\n')
  t.match(await client.rest(), /^HTTP\/1\.1 200 OK[^]*\r\nconnection: close\r\n[^]*\{"status":"ok"\}$/i)
})

t.test('a client that leaves with its offer unread leaves nothing', async t => {
  const service = await startService(t)
  const client = await connect(t, service)
  await client.send(`PUT /uploads/a.bin HTTP/1.1\r\nhost: x\r\n${H2C}content-length: 1000\r\n\r\nhello`)
  while (service.app.uploads.inFlight === 0) await new Promise(resolve => setImmediate(resolve))
  client.socket.destroy()
  await once(client.socket, 'close')
  await service.log.until(({ event }) => event === 'upload.aborted')
  t.same(await service.localFiles(), [])
})
