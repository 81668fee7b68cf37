import { PassThrough, Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { mostMemory } from '../../../services/memory/buffer-growth.ts'
import type { Intake, Part } from '../../../services/intake/intake.ts'
import { SourceError } from '../../../services/intake/source.ts'
import { MemoryAccount } from '../../../services/memory/account.ts'
import { bytes, sha256 } from '../../support/run/bytes.ts'
import { chunks, PART, setIntake } from '../../support/intake/intake-stage.ts'

const KIB = 1_024
const MIB = 1_048_576
const SNIFF = 64 * KIB

/** All parts of a source, as an upload takes them. */
async function takeAll (intake: Intake): Promise<Part[]> {
  const parts: Part[] = []
  await intake.gather(SNIFF)
  for (;;) {
    const state = await intake.gather(PART)
    parts.push(intake.takePart())
    if (state === 'end') return parts
  }
}

/** An account in which nothing is free until `release`. */
function fullAccount (): { account: MemoryAccount, release: () => void } {
  const account = new MemoryAccount({ budgetBytes: 64 * MIB, windowBytes: 55 * MIB, partBytes: PART })
  const holders = [56 * MIB - 131_072, ...Array.from({ length: 8 }, () => MIB)].map(need => {
    const holder = account.open({ need, rate: () => undefined, end: () => {} })
    holder.take(need, () => {})
    return holder
  })
  return { account, release: () => { for (const holder of holders) holder.close() } }
}

async function until (condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

t.test('parts of every size are whole, exactly as long as wanted, and given back', async t => {
  for (const size of [0, 1, SNIFF, SNIFF + 1, 3 * MIB + 5, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 7]) {
    for (const known of [true, false]) {
      for (const chunk of [1_000_003, 65_536]) {
        const content = bytes(size)
        const { account, intake } = setIntake(t, Readable.from(chunks(content, chunk)), known ? { expectedBytes: size } : {})
        const parts = await takeAll(intake)
        const label = `${size} bytes, ${known ? 'announced' : 'not announced'}, in chunks of ${chunk}`
        t.equal(sha256(Buffer.concat(parts.map(part => part.bytes))), sha256(content), label)
        t.ok(parts.every((part, index) => part.bytes.byteLength === PART || index === parts.length - 1), 'only the last part may be short')
        t.equal(intake.digest(), sha256(content))
        t.equal(account.heldBytes, parts.reduce((sum, { buffer }) => sum + buffer.byteLength, 0), 'what is paid is what is held')
        if (known) t.ok(account.heldBytes <= mostMemory(size, PART))
        for (const part of parts) intake.release(part)
        t.equal(account.heldBytes, 0)
      }
    }
  }
})

t.test('a client that has sent little holds little', async t => {
  const stream = new PassThrough()
  const { account, intake } = setIntake(t, stream, { expectedBytes: 100 * MIB })
  stream.write(bytes(10_000))
  const gathered = intake.gather(PART)
  await until(() => intake.received === 10_000)
  t.equal(account.heldBytes, 64 * KIB)
  stream.end()
  t.equal(await gathered, 'end')
})

t.test('a slow client\'s buffers grow with what it sent', async t => {
  const stream = new PassThrough()
  const { account, intake } = setIntake(t, stream, { expectedBytes: 100 * MIB, rate: 10_000 })
  const gathered = intake.gather(PART)
  for (let sent = 0; sent < 2 * MIB; sent += 50_000) {
    stream.write(bytes(50_000))
    await until(() => intake.gathered.byteLength === sent + 50_000)
    t.ok(account.heldBytes <= Math.max(64 * KIB, 2 * (sent + 50_000)), `${account.heldBytes} bytes held for ${sent + 50_000}`)
  }
  stream.end()
  await gathered
})

t.test('an interrupt loses nothing, in the middle of a source and while it waits for memory', async t => {
  const { account, release } = fullAccount()
  const content = bytes(3 * PART)
  const { intake } = setIntake(t, Readable.from(chunks(content, 100_000)), { expectedBytes: content.byteLength, account })
  await intake.gather(SNIFF)
  for (let time = 0; time < 3; time++) {
    const interrupt = new AbortController()
    const gathered = intake.gather(PART, interrupt.signal)
    await until(() => account.waiting === 1)
    interrupt.abort()
    t.equal(await gathered, 'interrupted')
    t.equal(account.waiting, 0)
    t.equal(await intake.gather(PART, interrupt.signal), 'interrupted', 'also where it had fired before')
  }
  release()
  const parts = await takeAll(intake)
  t.equal(sha256(Buffer.concat(parts.map(part => part.bytes))), sha256(content))
})

t.test('memory that is granted in the moment of an interrupt is used or given back', async t => {
  const { account, release } = fullAccount()
  const content = bytes(PART)
  const { intake } = setIntake(t, Readable.from(chunks(content, 100_000)), { expectedBytes: content.byteLength, account })
  await intake.gather(SNIFF)
  const interrupt = new AbortController()
  const gathered = intake.gather(PART, interrupt.signal)
  await until(() => account.waiting === 1)
  release()
  interrupt.abort()
  t.equal(await gathered, 'interrupted')
  t.equal(await intake.gather(PART), 'end')
  t.equal(sha256(intake.gathered), sha256(content))
  intake.close()
  t.same([account.heldBytes, account.committedBytes], [0, 0])
})

t.test('a source that fails, closes or is ended while it waits for memory ends the wait, and nothing is kept', async t => {
  const ways: [string, (stream: Readable, intake: Intake) => void, RegExp][] = [
    ['fails', stream => { stream.destroy(new Error('broken')) }, /source of the upload failed/],
    ['closes', stream => { stream.destroy() }, /source of the upload failed/],
    ['is ended', (_stream, intake) => { intake.fail(new Error('enough')) }, /enough/],
  ]
  for (const [name, end, message] of ways) {
    const { account, release } = fullAccount()
    const stream = Readable.from(chunks(bytes(3 * MIB), 100_000))
    const { intake } = setIntake(t, stream, { expectedBytes: 3 * MIB, account })
    await intake.gather(SNIFF)
    const gathered = intake.gather(PART)
    await until(() => account.waiting === 1)
    end(stream, intake)
    await t.rejects(gathered, { message }, name)
    t.equal(account.waiting, 0)
    intake.close()
    t.equal(account.heldBytes, 64 * MIB - 131_072, 'only the other one holds anything')
    release()
    t.equal(account.committedBytes, 0)
  }
})

t.test('what fails while something else is awaited ends that wait', async t => {
  const stream = new PassThrough()
  const { intake } = setIntake(t, stream, { complete: () => new Promise(() => {}) })
  const waiting = intake.unlessFailed(new Promise(() => {}))
  stream.destroy(new Error('broken'))
  await t.rejects(waiting, SourceError)
  await t.rejects(intake.finish(), SourceError)
})

t.test('an error after the end changes nothing', async t => {
  const stream = new PassThrough()
  const { intake } = setIntake(t, stream, { complete: async () => ({ a: 'b' }) })
  stream.end('all of it')
  t.equal(await intake.gather(PART), 'end')
  t.same(await intake.finish(), { a: 'b' })
  await until(() => stream.closed)
  stream.emit('error', new Error('late'))
  t.equal(intake.gathered.toString(), 'all of it')
  intake.close()
  stream.emit('error', new Error('later still'))
})

t.test('a source that ended or failed before is noticed', async t => {
  const ended = Readable.from([])
  ended.resume()
  await until(() => ended.readableEnded)
  await t.rejects(setIntake(t, ended).intake.gather(PART), { name: 'SourceError', cause: { message: 'The source had been read to its end before.' } }, 'what it gave is gone')

  const failed = new PassThrough()
  failed.on('error', () => {}).destroy(new Error('broken'))
  await until(() => failed.closed)
  await t.rejects(setIntake(t, failed).intake.gather(PART), SourceError)

  // Nothing closes it, so nothing else will be heard of it.
  const open = new Readable({ autoDestroy: false, read () { throw new Error('broken') } })
  open.on('error', () => {}).resume()
  await until(() => open.errored !== null)
  await turn()
  await t.rejects(setIntake(t, open).intake.gather(PART), { name: 'SourceError', cause: { message: 'broken' } })

  const closed = new PassThrough()
  closed.destroy()
  await t.rejects(setIntake(t, closed).intake.gather(PART), SourceError)
  await t.rejects(setIntake(t, closed).intake.gather(PART), { name: 'SourceError', cause: { message: 'The source was closed before its end.' } }, 'also where it had said so')
})

t.test('limits hold to the byte', async t => {
  t.equal(await setIntake(t, Readable.from([bytes(1_000)]), { maxBytes: 1_000 }).intake.gather(PART), 'end')
  await t.rejects(setIntake(t, Readable.from([bytes(1_001)]), { maxBytes: 1_000 }).intake.gather(PART), { message: 'The file has more than 1000 bytes.' })
  t.equal(await setIntake(t, Readable.from([bytes(1_000)]), { expectedBytes: 1_000 }).intake.gather(PART), 'end')
  await t.rejects(setIntake(t, Readable.from([bytes(1_001)]), { expectedBytes: 1_000 }).intake.gather(PART), SourceError, 'memory was set aside for no more')
})

t.test('a part that somebody may still read is not lent again', async t => {
  for (const reuse of [true, false]) {
    const { intake, pool } = setIntake(t, Readable.from([bytes(SNIFF)]))
    await intake.gather(PART)
    const part = intake.takePart()
    intake.release(part, reuse)
    t.equal(pool.lend(SNIFF) === part.buffer, reuse)
  }
})
