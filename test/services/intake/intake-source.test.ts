import { getEventListeners } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { ClientPace } from '../../../services/intake/client-pace.ts'
import { mostMemory } from '../../../services/memory/buffer-growth.ts'
import { SourceError } from '../../../services/intake/source.ts'
import { bytes, sha256 } from '../../support/run/bytes.ts'
import { PART, setIntake } from '../../support/intake/intake-stage.ts'

const KIB = 1_024
const MIB = 1_048_576

async function until (condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

/** Notes what the watch on a client is told. */
function callsOf (t: Test): string[] {
  const calls: string[] = []
  for (const name of ['resume', 'pause', 'stop'] as const) {
    const own = ClientPace.prototype[name]
    ClientPace.prototype[name] = function () {
      calls.push(name)
      own.call(this)
    }
    t.teardown(() => { ClientPace.prototype[name] = own })
  }
  return calls
}

async function errorOf (t: Test, promise: Promise<unknown>): Promise<any> {
  return await promise.then(() => t.fail('it did not fail'), (error: unknown) => error)
}

t.test('the memory that a file may need is what its parts need, and a MiB more for the last of several', async t => {
  const cases: [number, number][] = [[0, 64 * KIB], [70_000, 128 * KIB], [PART - 1, PART], [PART, PART], [PART + 1, PART + 1 + MIB]]
  for (const [size, most] of cases) t.equal(mostMemory(size, PART), most, `${size} bytes`)
})

t.test('a buffer is as large as what is to be expected', async t => {
  const cases: [name: string, options: { expectedBytes?: number, rate?: number, limit?: number }, pieces: number[], capacities: number[]][] = [
    ['little', { expectedBytes: 1 }, [1], [64 * KIB]],
    ['what is had at once', { expectedBytes: 100_000 }, [1, 99_999], [128 * KIB, 128 * KIB]],
    ['the most that is had at once', { expectedBytes: 128 * KIB }, [1], [128 * KIB]],
    ['a byte more than that', { expectedBytes: 128 * KIB + 1 }, [1, 128 * KIB], [64 * KIB, 256 * KIB]],
    ['less than a part', { expectedBytes: 200_000 }, [64 * KIB, 1], [64 * KIB, 256 * KIB]],
    ['much', { expectedBytes: 100 * MIB }, [64 * KIB, 1], [64 * KIB, PART]],
    ['much, with an odd limit', { expectedBytes: 100 * MIB, limit: PART + 1 }, [64 * KIB, 1], [64 * KIB, PART + 1]],
    ['little, with an odd limit', { expectedBytes: 90_000, limit: 100_000 }, [1], [100_000]],
    ['nobody knows', {}, [64 * KIB, 1, 512 * KIB - 64 * KIB - 1, 1, 512 * KIB - 1, 1], [64 * KIB, 512 * KIB, 512 * KIB, MIB, MIB, PART]],
    ['nobody knows, and much comes at once', {}, [1_000_000], [MIB]],
    ['a slow client', { expectedBytes: 100 * MIB, rate: 65_535 }, [64 * KIB, 1, 64 * KIB - 1, 1], [64 * KIB, 128 * KIB, 128 * KIB, 256 * KIB]],
    ['a slow client that says nothing', { rate: 10 }, [64 * KIB, 1], [64 * KIB, 128 * KIB]],
    ['a slow client, of which much comes at once', { expectedBytes: 100 * MIB, rate: 10 }, [1_000_000], [MIB]],
    ['a slow client with less than that to come', { expectedBytes: 300_000, rate: 10 }, [256 * KIB, 1], [256 * KIB, 512 * KIB]],
    ['one that is just not slow', { expectedBytes: 100 * MIB, rate: 65_536 }, [64 * KIB, 1], [64 * KIB, 128 * KIB]],
    ['one that fills a part within ten seconds', { expectedBytes: 100 * MIB, rate: PART / 10 }, [64 * KIB, 1], [64 * KIB, PART]],
  ]
  for (const [name, { limit = PART, ...options }, pieces, capacities] of cases) {
    const stream = new PassThrough({ highWaterMark: PART })
    const { account, intake } = setIntake(t, stream, options)
    const gathered = intake.gather(limit)
    const found: number[] = []
    let sent = 0
    for (const piece of pieces) {
      stream.write(bytes(piece))
      sent += piece
      await until(() => intake.gathered.byteLength === sent)
      found.push(intake.capacity)
      t.equal(account.heldBytes, intake.capacity)
    }
    t.same(found, capacities, name)
    stream.end()
    t.equal(await gathered, 'end')
  }
})

t.test('a part that is not the first has at once all that is still to come of it', async t => {
  const cases: [options: { expectedBytes?: number, rate?: number }, capacity: number][] = [
    [{ expectedBytes: PART + 100_000 }, 128 * KIB], [{ expectedBytes: 3 * PART }, PART], [{}, PART], [{ expectedBytes: 3 * PART, rate: 10 }, 64 * KIB],
  ]
  for (const [options, capacity] of cases) {
    const stream = new PassThrough({ highWaterMark: PART })
    const { intake } = setIntake(t, stream, options)
    const first = intake.gather(PART)
    stream.write(bytes(PART))
    stream.write(bytes(1))
    t.equal(await first, 'full')
    t.equal(intake.capacity, PART)
    intake.release(intake.takePart())
    t.equal(intake.capacity, 0)
    t.equal(intake.gathered.byteLength, 0)
    const second = intake.gather(PART)
    await until(() => intake.gathered.byteLength === 1)
    t.equal(intake.capacity, capacity, JSON.stringify(options))
    stream.end()
    t.equal(await second, 'end')
  }
})

t.test('texts are stored as UTF-8, and what is neither text nor bytes is refused', async t => {
  const { intake } = setIntake(t, Readable.from(['ä', new Uint8Array([0x62]), Buffer.from('c')]))
  t.equal(await intake.gather(PART), 'end')
  t.equal(Buffer.from(intake.gathered).toString(), 'äbc')
  t.equal(intake.received, 4)
  t.equal(intake.digest(), sha256(Buffer.from('äbc')))
  for (const odd of [5, {}, ['a'], new ArrayBuffer(1)]) {
    const error = await errorOf(t, setIntake(t, Readable.from([odd])).intake.gather(PART))
    t.type(error, SourceError)
    t.match(error.cause, { name: 'TypeError', message: /neither bytes nor strings/ })
  }
})

t.test('of a source that does not heed a pause every byte comes, in its order', async t => {
  const source = new Readable({ read () {} })
  const { intake } = setIntake(t, source)
  const given: Buffer[] = []
  const give = (...sizes: number[]): void => {
    for (const size of sizes) {
      given.push(bytes(size))
      source.emit('data', given.at(-1))
    }
  }
  const first = intake.gather(KIB)
  give(0, 100)
  await until(() => intake.gathered.byteLength === 100)
  // The second does not fit the buffer that there is, the third would.
  give(200, 64 * KIB, 10)
  t.equal(await first, 'full')
  give(30)
  const second = intake.gather(PART)
  await until(() => intake.gathered.byteLength > 64 * KIB)
  t.equal(await Promise.race([second, turn('waits')]), 'waits')
  give(64 * KIB, 10, 20)
  source.emit('end')
  t.equal(await second, 'end')
  t.equal(await intake.gather(PART), 'end')
  const content = Buffer.concat(given)
  t.ok(content.equals(intake.gathered))
  t.equal(intake.digest(), sha256(content))
})

t.test('a source that gives too much is read no further', async t => {
  for (const [options, expected] of [
    [{ maxBytes: 2_000 }, { name: 'UploadError', error_code: 'file_too_large', message: 'The file has more than 2000 bytes.' }],
    [{ expectedBytes: 2_000 }, { name: 'SourceError', cause: { message: /more than the 2000 bytes/ } }],
  ] as const) {
    const stream = new PassThrough()
    const { intake } = setIntake(t, stream, options)
    const gathered = intake.gather(PART)
    stream.write(bytes(2_000))
    await until(() => intake.gathered.byteLength === 2_000)
    stream.write(bytes(1))
    t.match(await errorOf(t, gathered), expected)
    t.ok(stream.isPaused())
    t.match(await errorOf(t, intake.gather(PART)), expected, 'it stays failed')
    t.equal(intake.gathered.byteLength, 2_000)
  }
})

t.test('a source that ends early, or was cut off, is no whole file', async t => {
  t.equal(await setIntake(t, Readable.from([bytes(5)]), { expectedBytes: 5, isExact: true }).intake.gather(PART), 'end')
  t.equal(await setIntake(t, Readable.from([bytes(4)]), { expectedBytes: 5 }).intake.gather(PART), 'end', 'where it said that it may')
  t.match(await errorOf(t, setIntake(t, Readable.from([bytes(4)]), { expectedBytes: 5, isExact: true }).intake.gather(PART)),
    { name: 'SourceError', cause: { message: /after 4 of the 5 bytes/ } })
  const cut = Object.assign(Readable.from([bytes(4)]), { truncated: true })
  t.match(await errorOf(t, setIntake(t, cut).intake.gather(PART)), { name: 'UploadError', error_code: 'file_too_large', hints: [/fileSize/] })
  const whole = Object.assign(Readable.from([bytes(4)]), { truncated: false })
  t.equal(await setIntake(t, whole).intake.gather(PART), 'end')
})

t.test('the first failure counts, and is what the source said, if it said anything', async t => {
  const broken = new PassThrough()
  const { intake } = setIntake(t, broken)
  broken.destroy(new Error('broken'))
  await new Promise(resolve => broken.once('close', resolve))
  intake.fail(new Error('late'))
  t.match(await errorOf(t, intake.gather(PART)), { name: 'SourceError', message: 'The source of the upload failed.', cause: { message: 'broken' } })
  t.match(await errorOf(t, intake.unlessFailed(new Promise(() => {}))), { cause: { message: 'broken' } })

  const closed = new PassThrough()
  const waiting = setIntake(t, closed).intake.gather(PART)
  closed.destroy()
  t.match(await errorOf(t, waiting), { name: 'SourceError', cause: { message: /closed before its end/ } })

  const failedBefore = new PassThrough()
  failedBefore.on('error', () => {}).destroy(new Error('broken before'))
  await until(() => failedBefore.closed)
  t.match(await errorOf(t, setIntake(t, failedBefore).intake.gather(PART)), { name: 'SourceError', cause: { message: 'broken before' } })

  const wordless = setIntake(t, new PassThrough()).intake
  wordless.fail(undefined)
  t.type(await errorOf(t, wordless.gather(PART)), Error)
})

t.test('a client is timed only while something is awaited of it', async t => {
  const calls = callsOf(t)
  const stream = new PassThrough({ highWaterMark: PART })
  let end = (fields: Record<string, string>): void => { t.fail(`nothing waits for ${JSON.stringify(fields)}`) }
  const { intake } = setIntake(t, stream, { complete: () => new Promise(resolve => { end = resolve }) })
  t.same(calls.splice(0), ['resume'])
  const gathered = intake.gather(1_000)
  t.same(calls, ['resume'])
  stream.write(bytes(2_500))
  t.equal(await gathered, 'full')
  t.same(calls, ['resume', 'pause'])
  intake.takePart()
  t.equal(await intake.gather(1_000), 'full', 'that had come')
  t.same(calls, ['resume', 'pause'])
  intake.takePart()
  stream.end()
  t.equal(await intake.gather(1_000), 'end')
  t.same(calls.splice(0), ['resume', 'pause', 'resume', 'pause'])

  const finished = intake.finish()
  t.same(calls, ['resume'])
  end({})
  await finished
  t.same(calls.splice(0), ['resume', 'stop'])
  intake.close()
  t.same(calls.splice(0), ['stop'])

  const broken = setIntake(t, Readable.from([]), { complete: async () => { throw new Error('broken form') } }).intake
  t.equal(await broken.gather(1_000), 'end')
  calls.length = 0
  await t.rejects(broken.finish(), { message: 'broken form' })
  t.same(calls, ['resume', 'stop'])
})

t.test('what ended is let go of: the source, the signal, what was set aside, and what was gathered', async t => {
  const stream = new PassThrough()
  const { account, intake, pool } = setIntake(t, stream, { expectedBytes: 10 * MIB })
  const interrupt = new AbortController()
  const gathered = intake.gather(PART, interrupt.signal)
  stream.write(bytes(64 * KIB))
  await until(() => intake.gathered.byteLength === 64 * KIB)
  stream.write(bytes(1))
  await until(() => intake.gathered.byteLength === 64 * KIB + 1)
  t.equal(account.committedBytes, 11 * MIB)
  stream.end()
  t.equal(await gathered, 'end')
  t.same(getEventListeners(interrupt.signal, 'abort'), [])
  t.equal(account.committedBytes, PART, 'no more will come')
  const buffer = intake.gathered.buffer
  intake.close()
  t.equal(account.heldBytes, 0)
  t.equal(pool.lend(PART).buffer, buffer)
  t.same(['data', 'end', 'close', 'error'].map(name => stream.listenerCount(name) - new PassThrough().listenerCount(name)), [0, 0, 0, 1])
})

t.test('a part without bytes is none of the pool\'s', async t => {
  const { account, intake, pool } = setIntake(t, Readable.from([]))
  t.equal(await intake.gather(PART), 'end')
  const lent: unknown[] = []
  pool.takeBack = buffer => { lent.push(buffer) }
  intake.release(intake.takePart())
  t.same(lent, [])
  t.equal(account.heldBytes, 0)
})
