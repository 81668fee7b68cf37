import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { createB2Store } from '../../../../services/b2/store.ts'
import type { B2Store } from '../../../../services/b2/store.ts'

/** The store on a server that answers every request with these bytes, all at once. */
async function storeOnAnswer (t: Test, answer: string): Promise<B2Store> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', () => socket.write(answer))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const store = createB2Store({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-west-004',
    bucket: 'bucket',
    applicationKeyId: 'id',
    applicationKey: 'key',
    maxAttempts: 1,
  })
  t.teardown(async () => {
    await store.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return store
}

t.test('the answer to a HEAD counts though a body follows', async t => {
  const missing = await storeOnAnswer(t, 'HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n')
  for (let count = 0; count < 3; count++) t.equal(await missing.head('key'), undefined)
  const there = await storeOnAnswer(t, 'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ncontent')
  for (let count = 0; count < 3; count++) t.match(await there.head('key'), { size: 7 })
})

t.test('a body counts though more bytes follow', async t => {
  const store = await storeOnAnswer(t, 'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ncontentHTTP')
  const stream = await store.read('key')
  t.equal(Buffer.concat(await stream!.toArray()).toString(), 'content')
})

t.test('an answer that is none counts as a failure', async t => {
  const store = await storeOnAnswer(t, 'HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n')
  t.match(await store.head('key').catch((error: unknown) => error), { error_code: 'service_unavailable' })
})

t.test('a body of unknown length is none, as it could be cut', async t => {
  const store = await storeOnAnswer(t, 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n')
  t.match(await store.read('key').catch((error: unknown) => error), { name: 'B2ReadError', error_code: 'service_unavailable' })
})
