import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { unacknowledgedBytes } from '../../../../services/b2/line/send-queues.ts'
import { fakeClock } from '../../../support/run/fake-clock.ts'
import { fakeSocketTables, tcpLine } from '../../../support/b2/send-queues.ts'

const socketOf = (localPort: number, remotePort: number, remoteAddress = '127.0.0.1'): Socket => ({ localPort, remotePort, remoteAddress }) as Socket

// A service of an earlier test may have looked at the kernel's real tables, which is kept for 200 ms.
t.test('what other tests saw is forgotten', async () => { await wait(250) })

t.test('the send queue is found by both ports and the peer\'s address', async t => {
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

t.test('peers with the same port are told apart, whatever their addresses look like', async t => {
  const clock = fakeClock(t)
  const tables = fakeSocketTables(t)
  const lineOf = (address: string, queue: number): string => tcpLine(3_000, 50_000, queue).replace('0100007F:C350', `${address}:C350`)
  const peers: [address: string, listed: string][] = [
    ['127.0.0.1', '0100007F'],
    ['192.0.2.33', '210200C0'],
    ['::1', '00000000000000000000000001000000'],
    ['::ffff:127.0.0.1', '0000000000000000FFFF00000100007F'],
    ['2001:db8:0:0:0:8a2e:370:7334', 'B80D0120000000002E8A000034737003'],
    ['fe80::1%eth0', '000080FE000000000000000001000000'],
  ]
  tables.tcp = peers.slice(0, 2).map(([, listed], index) => lineOf(listed, index + 1))
  tables.tcp6 = peers.slice(2).map(([, listed], index) => lineOf(listed, index + 3))
  for (const [index, [address]] of peers.entries()) t.equal(await unacknowledgedBytes(socketOf(3_000, 50_000, address)), index + 1, address)
  t.equal(await unacknowledgedBytes(socketOf(3_000, 50_000, '2001:db8::8a2e:370:7334')), 5, 'the short form is the same')
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
