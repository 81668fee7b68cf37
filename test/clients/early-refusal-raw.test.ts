import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { fakeClock } from '../support/run/fake-clock.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import type { RawClient } from '../support/clients/raw-http.ts'
import { startRefusals } from '../support/clients/refusals.ts'
import type { Refusal } from '../support/clients/refusals.ts'
import { startService } from '../support/service/service.ts'
import { BODY_BYTES, MIB, beginning, head, isReadInPart, isRefusal } from '../support/clients/early-refusals.ts'

const DRAINED_MS = 5_000

async function isHealthy (t: Test, service: Refusal['service']): Promise<void> {
  const client = await connect(t, service)
  await client.send('GET /health HTTP/1.1\r\nhost: x\r\n\r\n')
  t.equal((await client.answer())?.status, 200)
}

t.test('an upload that is refused is answered before its body has come', async t => {
  const clock = fakeClock(t)
  const refusals = await startRefusals(t)
  const clients: RawClient[] = []
  let closed = 0
  for (const refusal of refusals) {
    await t.test(`${refusal.name}${refusal.looksAtBytes ? ', by the first 64 KiB' : ''}`, async step => {
      const client = await connect(t, refusal.service)
      await client.send(head(refusal, BODY_BYTES))
      await client.send(beginning(refusal))
      isRefusal(step, await client.answer(), refusal)
      step.equal(refusal.service.app.uploads.heldBytes, 0, 'no memory is held for it')
      client.socket.once('end', () => { closed++ })
      clients.push(client)
    })
  }

  await t.test('and its connection is closed after 5 seconds where the client sends nothing more', async t => {
    clock.advance(DRAINED_MS - 1)
    for (const service of new Set(refusals.map(({ service }) => service))) await isHealthy(t, service)
    t.equal(closed, 0)
    clock.advance(1)
    for (const client of clients) t.equal(await client.rest(), '', 'nothing follows the answer')
    t.equal(closed, refusals.length)
  })
})

t.test('a client whose headers come too slowly is told so', async t => {
  const service = await startService(t)
  const accepted = once(service.app.server, 'connection') as Promise<[Socket]>
  const client = await connect(t, service)
  const [socket] = await accepted
  await client.send('PUT /uploads/song.mp3 HTTP/1.1\r\nhost: ')
  // As Node.js does when they have taken a minute; it looks twice a minute.
  service.app.server.emit('clientError', Object.assign(new Error('Request timeout'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket)
  isError(t, await client.answer(), 408, 'upload_stalled')
})

t.test('a client whose request can\'t be read has 5 seconds to close its side, too', async t => {
  const clock = fakeClock(t)
  const service = await startService(t)
  for (const [sent, status] of [['GARBAGE\r\n\r\n', 400], [`GET / HTTP/1.1\r\na: ${'x'.repeat(20_000)}\r\n\r\n`, 431], ['PUT /uploads/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n', 400]] as const) {
    const accepted = once(service.app.server, 'connection') as Promise<[Socket]>
    const client = await connect(t, service)
    const [socket] = await accepted
    await client.send(sent)
    isError(t, await client.answer(), status, 'invalid_request')
    t.equal(await client.rest(), '')
    clock.advance(DRAINED_MS - 1)
    await isHealthy(t, service)
    t.notOk(socket.destroyed)
    const closed = once(socket, 'close')
    clock.advance(1)
    await closed
  }
})

t.test('a refused client that goes on sending', async t => {
  fakeClock(t)
  for (const refusal of await startRefusals(t)) {
    await t.test(`has its connection closed with the last byte of its body, ${refusal.name}`, async t => {
      const length = 3 * MIB
      const client = await connect(t, refusal.service)
      await client.send(head(refusal, length))
      const sent = beginning(refusal)
      await client.send(sent)
      isRefusal(t, await client.answer(), refusal)
      await client.send(Buffer.alloc(length - sent.byteLength))
      t.equal(await client.rest(), '')
    })
  }
})

isReadInPart(['unauthorized'])
