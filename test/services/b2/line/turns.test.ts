import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import type { BodyOwner } from '../../../../services/b2/line/line.ts'
import { Turns } from '../../../../services/b2/line/turns.ts'
import type { Turn } from '../../../../services/b2/line/turns.ts'

const MIB = 1_048_576

const turnsOf = ({ timeoutMs = 45_000, stillMs = 60_000 } = {}): Turns => new Turns({ timeoutMs, stillMs })

const upload = (own: Partial<BodyOwner> = {}): BodyOwner => ({ isBackground: false, hasBegun: false, deadline: Infinity, ...own })

/** Asks for turns, and tells in which order they came. */
function asker (turns: Turns): { come: string[], ask (name: string, bytes: number, owner?: Partial<BodyOwner>, signal?: AbortSignal): Promise<Turn> } {
  const come: string[] = []
  return {
    come,
    async ask (name, bytes, owner, signal) {
      const turn = await turns.take(bytes, upload(owner), signal)
      come.push(name)
      return turn
    },
  }
}

/** A connection whose peer takes what it is told to. */
async function connection (t: Test): Promise<{ socket: net.Socket, peer: net.Socket }> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1')
  const [[peer]] = await Promise.all([once(server, 'connection') as Promise<[net.Socket]>, once(socket, 'connect')])
  t.teardown(() => {
    socket.destroy()
    peer.destroy()
    server.close()
  })
  return { socket, peer }
}

t.test('the next one comes when the one before has ended, and a turn ends once', async t => {
  const turns = turnsOf()
  const { come, ask } = asker(turns)
  const first = await ask('first', 8 * MIB)
  const second = ask('second', 8 * MIB)
  const third = ask('third', 8 * MIB)
  t.equal(turns.waiting, 2)
  first.end(false)
  first.end(false)
  await second
  t.same(come, ['first', 'second'])
  t.equal(turns.waiting, 1)
  for (const turn of [second, third]) (await turn).end(false)
  t.equal(turns.waiting, 0)
})

t.test('who is cancelled while he waits leaves nothing behind', async t => {
  const turns = turnsOf()
  const { come, ask } = asker(turns)
  const first = await ask('first', 8 * MIB)
  const left = new AbortController()
  const second = ask('second', 8 * MIB, {}, left.signal)
  const third = ask('third', 8 * MIB)
  left.abort()
  await t.rejects(second, { name: 'AbortError' })
  t.equal(turns.waiting, 1)
  first.end(false)
  const last = await third
  t.same(come, ['first', 'third'])
  last.end(false)
  await t.rejects(ask('fourth', MIB, {}, left.signal), { name: 'AbortError' }, 'nor does one that was cancelled before')
  t.equal(turns.waiting, 0)
  const next = await ask('fifth', 8 * MIB)
  next.end(true)
})

t.test('who is cancelled makes room in the queue for those that fit', async t => {
  const turns = turnsOf()
  const { ask } = asker(turns)
  const first = await ask('first', 1_000)
  const left = new AbortController()
  const large = ask('large', 8 * MIB, {}, left.signal)
  // Later than the large one, by what it would be worth to wait for it.
  const small = ask('small', 9 * MIB)
  left.abort()
  await t.rejects(large)
  first.end(false)
  const next = await small
  next.end(false)
})

t.test('one that has its turn when it is cancelled gives it back by its end', async t => {
  const turns = turnsOf()
  const { ask } = asker(turns)
  const left = new AbortController()
  const first = await ask('first', 8 * MIB, {}, left.signal)
  left.abort()
  const second = ask('second', 8 * MIB)
  t.equal(turns.waiting, 1)
  first.end(false)
  const turn = await second
  turn.end(true)
})

t.test('a small body comes before large ones, and a large one before small ones that come much later', async t => {
  const turns = turnsOf({ timeoutMs: 500 })
  const { come, ask } = asker(turns)
  const first = await ask('first', 8 * MIB)
  const large = ask('large', 8 * MIB)
  const small = ask('small', 300_000)
  await wait(550)
  const late = ask('late', 300_000)
  first.end(false)
  const next = await small
  next.end(false)
  const turn = await large
  t.same(come, ['first', 'small', 'large'])
  turn.end(false)
  const last = await late
  last.end(false)
})

t.test('small bodies without end do not keep a large one from its turn', async t => {
  const turns = turnsOf({ timeoutMs: 500 })
  const { ask } = asker(turns)
  const through = new AbortController()
  const flow = async (): Promise<void> => {
    while (!through.signal.aborted) {
      const turn = await ask('small', 300_000)
      await wait(100)
      turn.end(false)
    }
  }
  const flows = [flow(), flow(), flow()]
  const large = await ask('large', 8 * MIB)
  through.abort()
  large.end(false)
  await Promise.all(flows)
  t.equal(turns.waiting, 0)
})

t.test('one in the background comes after all others, and its turn comes all the same', async t => {
  const turns = turnsOf({ timeoutMs: 500 })
  const { come, ask } = asker(turns)
  const first = await ask('first', 8 * MIB)
  const promotion = ask('promotion', 8 * MIB, { isBackground: true })
  const next = ask('upload', 8 * MIB)
  first.end(false)
  let running = await next
  t.same(come, ['first', 'upload'])
  // An upload always waits when the one before ends.
  for (let uploads = 1; uploads < 100; uploads++) {
    const next = ask('upload', 8 * MIB)
    await wait(20)
    running.end(false)
    running = await Promise.race([next, promotion])
    if (!come.includes('promotion')) continue
    t.ok(uploads > 2, `${uploads} came before`)
    running.end(false)
    const last = await next
    last.end(false)
    break
  }
  t.equal(come.filter(name => name === 'promotion').length, 1)
  t.equal(turns.waiting, 0)
})

t.test('the upload that gives up first comes first', async t => {
  const turns = turnsOf()
  const { come, ask } = asker(turns)
  const now = performance.now()
  const first = await ask('first', 8 * MIB)
  const others = [['last', 40_000], ['second', 20_000], ['third', 30_000]] as const
  const waiting = others.map(async ([name, ms]) => {
    const turn = await ask(name, 8 * MIB, { deadline: now + ms })
    turn.end(false)
  })
  first.end(false)
  await Promise.all(waiting)
  t.same(come, ['first', 'second', 'third', 'last'])
})

t.test('quick acknowledgements let more at once', async t => {
  const turns = turnsOf()
  const { ask } = asker(turns)
  for (let round = 0; round < 4; round++) {
    const turn = await ask('one', 8 * MIB)
    turn.end(true)
  }
  const many = await Promise.all(Array.from({ length: 4 }, async () => await ask('many', 8 * MIB)))
  t.equal(turns.waiting, 0)
  for (const turn of many) turn.end(true)
})

t.test('on a line that stands still there are no turns', async t => {
  const turns = turnsOf({ stillMs: 100 })
  const { socket, peer } = await connection(t)
  peer.pause()
  const first = await turns.take(8 * MIB, upload(), undefined)
  first.connected(socket, false)
  const others = await Promise.all(Array.from({ length: 6 }, async () => await turns.take(8 * MIB, upload(), undefined)))
  t.equal(others.length, 6)
  for (const turn of [first, ...others]) turn.end(false)
})

t.test('what a line carries at once is learnt from what arrives, and not from what the kernel took', async t => {
  const turns = turnsOf({ timeoutMs: 20_000 })
  const { socket, peer } = await connection(t)
  // 2 MiB a second: in a fifth of the time less than the first of the bodies.
  peer.on('data', chunk => {
    peer.pause()
    setTimeout(() => peer.resume(), chunk.byteLength / 2_097)
  })
  const first = await turns.take(32 * MIB, upload(), undefined)
  first.connected(socket, false)
  socket.write(Buffer.alloc(32 * MIB))
  const left = new AbortController()
  const others = Array.from({ length: 6 }, async () => await turns.take(8 * MIB, upload(), left.signal))
  for (const each of others) each.catch(() => {})
  await wait(1_200)
  t.equal(turns.waiting, 6)
  await wait(1_300)
  t.equal(turns.waiting, 5, 'one more is tried: each connection may have a bound of its own')
  t.notOk(turns.stoodStill(1_000))
  t.ok(performance.now() - first.movedAt < 1_000)
  left.abort()
  await Promise.allSettled(others)
  first.end(false)
})
