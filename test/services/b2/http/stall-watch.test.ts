import type { Socket } from 'node:net'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { watchForStall } from '../../../../services/b2/http/stall-watch.ts'
import { fakeClock } from '../../../support/run/fake-clock.ts'
import { fakeSocketTables, tcpLine } from '../../../support/b2/send-queues.ts'

/** What a look finds: bytes in all since the beginning; of those written some may wait in the process, and some in the kernel. */
interface Look { read?: number, written?: number, waiting?: number, kernel?: number | undefined, waitsForUs?: boolean }

interface Watch {
  look (found?: Look): Promise<void>
  /** Looks at which it was told that the connection has stalled. */
  readonly stalledAt: number[]
  readonly told: unknown[][]
  end (): void
  readonly timers: number
}

/** Watches a socket for a second, that is four looks. */
function watch (t: Test, start: Partial<Socket> & { _handle?: object | null } = {}, waits?: () => boolean): Watch {
  const clock = fakeClock(t)
  const tables = fakeSocketTables(t)
  const socket = { bytesRead: 0, bytesWritten: 0, localPort: 50_000, remotePort: 443, remoteAddress: '127.0.0.1', ...start }
  const stalledAt: number[] = []
  const told: unknown[][] = []
  let looks = 0
  let waitsForUs = false
  const end = watchForStall(socket as unknown as Socket, 1_000, (...args) => {
    stalledAt.push(looks)
    told.push(args)
  }, ...(start.connecting === true ? [] : [waits ?? (() => waitsForUs)] as const))
  t.teardown(async () => { // no look at the kernel's tables is kept for the next test
    end()
    clock.advance(10_000)
  })
  return {
    stalledAt,
    told,
    end,
    get timers () { return clock.timers },
    async look ({ read = 0, written = 0, waiting, kernel, waitsForUs: waits = false } = {}) {
      Object.assign(socket, { bytesRead: read, bytesWritten: written }, waiting === undefined ? {} : { _handle: { writeQueueSize: waiting } })
      tables.tcp = kernel === undefined ? [] : [tcpLine(50_000, 443, kernel)]
      waitsForUs = waits
      looks++
      clock.advance(250)
      for (let count = 0; count < 5; count++) await turn()
    },
  }
}

async function lookAt (t: Test, looks: Look[], start?: Parameters<typeof watch>[1]): Promise<number[]> {
  const watching = watch(t, start)
  for (const found of looks) await watching.look(found)
  return watching.stalledAt
}

const times = (count: number, found: (index: number) => Look): Look[] => Array.from({ length: count }, (_, index) => found(index + 1))

const CASES: [string, Look[], number[]][] = [
  ['nothing moves for a period: told once', times(10, () => ({})), [4]],
  ['16 KiB a period are read', times(12, index => ({ read: 4_096 * index })), []],
  ['a byte less than that', times(6, index => ({ read: 4_096 * index - 1 })), [4]],
  ['16 KiB a period are written', times(12, index => ({ written: 4_096 * index })), []],
  ['8 KiB each way, together', times(12, index => ({ read: 2_048 * index, written: 2_048 * index })), []],
  ['what waits in the process has not moved', times(8, index => ({ written: 50_000 * index, waiting: 50_000 * index })), [4]],
  ['what waits there and goes has', times(8, index => ({ written: 400_000, waiting: 400_000 - 20_000 * index })), []],
  ['it moves, and then it does not', [{ read: 20_000 }, { read: 40_000 }, ...times(6, () => ({ read: 40_000 }))], [6]],
  ['it does not, and moves at the last moment', [...times(3, () => ({})), { read: 16_384 }, ...times(6, () => ({ read: 16_384 }))], [8]],
  ['the kernel gets rid of 16 KiB in three looks', [{ kernel: 100_000 }, { kernel: 90_000 }, { kernel: 83_616 }, ...times(6, () => ({ kernel: 83_616 }))], [7]],
  ['the kernel gets rid of a byte less', [{ kernel: 100_000 }, { kernel: 90_000 }, ...times(6, () => ({ kernel: 83_617 }))], [4]],
  ['the kernel gets rid of 16 KiB again and again', times(12, index => ({ kernel: 1_000_000 - 16_384 * index })), []],
  ['the kernel holds what it held', times(6, () => ({ kernel: 100_000 })), [4]],
  ['the kernel holds more and more', times(6, index => ({ kernel: 20_000 * index })), [4]],
  ['what the kernel held before something else moved does not count', [{ kernel: 100_000 }, { read: 20_000, kernel: 100_000 }, ...times(6, () => ({ read: 20_000, kernel: 50_000 }))], [6]],
  ['what the kernel holds is not known any more', [{ kernel: 100_000 }, ...times(6, () => ({}))], [4]],
  ['what the kernel holds is known late', [{}, {}, { kernel: 100_000 }, { kernel: 80_000 }, ...times(5, () => ({ kernel: 80_000 }))], [8]],
  ['it waits for us', times(12, () => ({ waitsForUs: true })), []],
  ['it waits for us, and then does not', [...times(3, () => ({})), { waitsForUs: true }, ...times(6, () => ({}))], [8]],
  ['it waits for us now and then', times(12, index => ({ waitsForUs: index % 4 === 0 })), []],
]

// A service of an earlier test may have looked at the kernel's real tables, which is kept for 200 ms.
t.test('what other tests saw is forgotten', async () => { await wait(250) })

for (const [name, looks, expected] of CASES) t.test(name, async t => { t.same(await lookAt(t, looks), expected) })

t.test('what moved before the watch does not count', async t => {
  t.same(await lookAt(t, times(6, () => ({ read: 500_000, written: 500_000 })), { bytesRead: 490_000, bytesWritten: 500_000, _handle: { writeQueueSize: 0 } }), [4])
  t.same(await lookAt(t, times(6, () => ({})), { _handle: null }), [4], 'a socket that is closed')
  t.same(await lookAt(t, times(6, () => ({})), { connecting: true }), [4], 'it needs nobody to say whether it waits for us')
})

t.test('a watch that has ended leaves no timer, and says nothing', async t => {
  const ended = watch(t)
  for (let count = 0; count < 3; count++) await ended.look()
  const last = ended.look() // it has begun to look
  ended.end()
  await last
  t.same(ended.stalledAt, [])
  const stalled = watch(t)
  for (let count = 0; count < 5; count++) await stalled.look()
  t.same(stalled.stalledAt, [4])
  t.ok(stalled.timers <= 1, 'but that of the look at the kernel\'s tables')
})

t.test('a look that fails counts as a stall, as nobody would notice one any more', async t => {
  const watching = watch(t, {}, () => { throw new Error('a bug') })
  await watching.look()
  t.same(watching.stalledAt, [1])
})
