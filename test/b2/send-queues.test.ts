import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { unacknowledgedBytes } from '../../services/b2/send-queues.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { fakeSocketTables, tcpLine } from '../support/send-queues.ts'

const socketOf = (localPort: number, remotePort: number): Socket => ({ localPort, remotePort }) as Socket

t.test('the send queue is found by both ports', async t => {
  const clock = fakeClock(t)
  const tables = fakeSocketTables(t)
  tables.tcp = [tcpLine(50_000, 443, 0x1000A, 7), tcpLine(443, 50_000, 5), '', 'x', '0: 0100007F:0001 0100007F:0002']
  tables.tcp6 = [tcpLine(50_001, 443, 9)]
  t.same(await Promise.all([
    unacknowledgedBytes(socketOf(50_000, 443)), unacknowledgedBytes(socketOf(443, 50_000)), unacknowledgedBytes(socketOf(50_001, 443)),
    unacknowledgedBytes(socketOf(50_002, 443)), unacknowledgedBytes(socketOf(1, 2)),
  ]), [0x1000A, 5, 9, undefined, undefined])
  t.same(tables.reads, ['/proc/net/tcp', '/proc/net/tcp6'], 'read once for all who ask at that moment')
  clock.advance(1_000)
})

t.test('it is looked up anew after a moment', async t => {
  const clock = fakeClock(t)
  const tables = fakeSocketTables(t)
  tables.tcp = [tcpLine(50_000, 443, 100)]
  const ask = async (): Promise<number | undefined> => await unacknowledgedBytes(socketOf(50_000, 443))
  t.equal(await ask(), 100)
  tables.tcp = [tcpLine(50_000, 443, 50)]
  clock.advance(199)
  t.equal(await ask(), 100)
  clock.advance(1)
  t.equal(await ask(), 50)
  clock.advance(200)
  t.equal(clock.timers, 0)
})

t.test('where there are no such tables nothing is known', async t => {
  const clock = fakeClock(t)
  const tables = fakeSocketTables(t)
  tables.tcp = tables.tcp6 = undefined
  t.equal(await unacknowledgedBytes(socketOf(50_000, 443)), undefined)
  clock.advance(200)
  tables.tcp6 = [tcpLine(50_000, 443, 3)]
  t.equal(await unacknowledgedBytes(socketOf(50_000, 443)), 3, 'one of them is enough')
  clock.advance(200)
})

t.test('what a peer does not take is told, over IPv4 and IPv6', { skip: process.platform !== 'linux' }, async t => {
  for (const host of ['127.0.0.1', '::1']) {
    const server = createServer({ pauseOnConnect: true }).listen(0, host)
    await once(server, 'listening')
    const socket = connect((server.address() as AddressInfo).port, host)
    const [peer] = await once(server, 'connection') as [Socket]
    t.teardown(() => {
      socket.destroy()
      peer.destroy()
      server.close()
    })
    socket.write(Buffer.alloc(32_000_000)) // more than both kernels' buffers hold
    let held: number | undefined
    do {
      await turn()
      held = await unacknowledgedBytes(socket)
    } while (!held)
    t.ok(held > 16_384, `${host}: ${held}`)
    peer.resume()
    do {
      await turn()
      held = await unacknowledgedBytes(socket)
    } while (held !== 0)
  }
})
