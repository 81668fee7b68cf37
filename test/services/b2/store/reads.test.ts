import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import type { Fault } from '../../../../emulator/index.ts'
import { B2ReadError } from '../../../../services/b2/read-requests.ts'
import { putObject, setB2Stage } from '../../../support/b2/stage.ts'
import type { B2Stage } from '../../../support/b2/stage.ts'
import { bytes, sha256 } from '../../../support/service/service.ts'

const KEY = 'tracks/song.mp3'
const MIB = 1_048_576

function gets ({ b2 }: Pick<B2Stage, 'b2'>) {
  return b2.requests.filter(({ operation }) => operation === 'GetObject')
}

t.test('head tells size and hash, and what is not there', async t => {
  const { b2, store } = await setB2Stage(t)
  const content = bytes(100_000)
  await putObject(store, KEY, content)
  t.same(await store.head(KEY), { size: 100_000, sha256: sha256(content) })
  await store.put({ key: 'tracks/bare', contentType: 'audio/mpeg', metadata: { sha256: 'no hash' } }, content, sha256(content))
  t.same(await store.head('tracks/bare'), { size: 100_000, sha256: undefined })
  t.equal(await store.head('tracks/other'), undefined)
  t.equal(await store.read('tracks/other', undefined), undefined)
  t.equal(b2.requests.length, 6, 'one request each')
})

t.test('read gives all bytes, or those of a range', async t => {
  const { store } = await setB2Stage(t)
  for (const size of [0, 1, 3 * MIB]) {
    const content = bytes(size)
    await putObject(store, KEY, content)
    t.ok(content.equals(await buffer((await store.read(KEY, undefined))!)), `${size} bytes`)
    if (size < 2) continue
    for (const [first, last] of [[0, 0], [0, size - 1], [1, 1_000_000], [size - 1, size - 1]] as const) {
      t.ok(content.subarray(first, last + 1).equals(await buffer((await store.read(KEY, { first, last }))!)), `${first} to ${last}`)
    }
  }
})

const BREAKS: { name: string, faults: Fault[], resumedAt: number[] }[] = [
  { name: 'in the middle', faults: [{ action: 'truncate-answer', atByte: 1_000_000 }], resumedAt: [1_000_000] },
  { name: 'after the headers', faults: [{ action: 'truncate-answer', atByte: 0 }], resumedAt: [0] },
  { name: 'before the last byte', faults: [{ action: 'truncate-answer', atByte: 3 * MIB - 1 }], resumedAt: [3 * MIB - 1] },
  {
    name: 'and so do two answers after it, of which B2 refuses one first',
    faults: [{ action: 'truncate-answer', atByte: 10 }, { status: 503 }, { action: 'truncate-answer', atByte: 10 }],
    resumedAt: [10, 10, 20],
  },
]

for (const { name, faults, resumedAt } of BREAKS) {
  t.test(`a body that breaks off ${name} goes on from the next byte`, async t => {
    const { b2, store } = await setB2Stage(t)
    const content = bytes(3 * MIB)
    await putObject(store, KEY, content)
    for (const range of [undefined, { first: 0, last: 3 * MIB - 1 }]) {
      // So that there are idle connections, too.
      await Promise.all([store.head(KEY), store.head(KEY)])
      b2.clearFaults()
      for (const fault of faults) b2.fault({ operation: 'GetObject', ...fault })
      const before = gets({ b2 }).length
      t.equal(sha256(await buffer((await store.read(KEY, range))!)), sha256(content))
      const [, ...resumed] = gets({ b2 }).slice(before)
      t.match(resumed.map(({ headers }) => headers.range), resumedAt.map(at => `bytes=${at}-${3 * MIB - 1}`))
      t.equal(resumed.length, resumedAt.length)
      t.ok(resumed.every(({ headers }) => headers['if-match'] === `"${b2.objects()[0]!.etag}"`), 'and of the same object')
      t.ok(resumed.every(again => b2.requests.every(({ id, connection }) => id >= again.id || connection !== again.connection)), 'on new connections')
    }
  })
}

t.test('a stall in the middle of a range goes on from the next byte', async t => {
  const { b2, store } = await setB2Stage(t, { stallTimeoutMs: 400 })
  const content = bytes(3 * MIB)
  await putObject(store, KEY, content)
  b2.fault({ operation: 'GetObject', bytesPerSecond: 10_000 })
  t.ok(content.subarray(1_000, 2 * MIB).equals(await buffer((await store.read(KEY, { first: 1_000, last: 2 * MIB - 1 }))!)))
  const [slow, resumed, ...others] = gets({ b2 })
  t.equal(slow!.outcome, 'client-gone')
  t.match(resumed!.headers.range, /^bytes=(?!1000-)\d+-2097151$/)
  t.same(others, [])
})

t.test('connections that B2 resets are no end of a body', async t => {
  const { b2, store } = await setB2Stage(t)
  const content = bytes(32 * MIB)
  await putObject(store, KEY, content)
  const stream = (await store.read(KEY, undefined))!
  const chunks: Buffer[] = []
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer)
    if (chunks.length !== 20) continue
    await b2.refuseConnections()
    await b2.acceptConnections()
  }
  t.equal(sha256(Buffer.concat(chunks)), sha256(content))
  t.equal(gets({ b2 }).length, 2)
})

t.test('a body that breaks off again and again ends with an error, never short', async t => {
  const { b2, store } = await setB2Stage(t)
  await putObject(store, KEY, bytes(MIB))
  b2.fault({ operation: 'GetObject', action: 'truncate-answer', atByte: 1_000, times: Infinity })
  const error = await buffer((await store.read(KEY, undefined))!).catch(error => error)
  t.ok(error instanceof B2ReadError)
  t.match(error, { error_code: 'network_error', detail: 'B2 could not be reached: connection reset', retryable: true })
  t.equal(gets({ b2 }).length, 5)
})

t.test('what is not the same object any more is not mixed with it', async t => {
  const { b2, store } = await setB2Stage(t)
  const changes: [number, () => Promise<void>][] = [
    [412, async () => { await putObject(store, KEY, bytes(MIB)) }],
    [404, async () => { await store.remove(KEY) }],
  ]
  for (const [status, change] of changes) {
    await putObject(store, KEY, bytes(32 * MIB))
    // So late that B2 still waits for the reader when the object changes.
    b2.fault({ operation: 'GetObject', action: 'truncate-answer', atByte: 24 * MIB })
    const stream = (await store.read(KEY, undefined))!
    await change()
    let received = 0
    stream.on('data', (chunk: Buffer) => { received += chunk.byteLength })
    t.match(await once(stream, 'error'), [{ name: 'B2ReadError', error_code: 'invalid_request', status }])
    t.equal(received, 24 * MIB)
  }
})

t.test('an answer that is not the range that was asked for is an error', async t => {
  const { b2, store } = await setB2Stage(t)
  await putObject(store, KEY, bytes(1_000))
  b2.fault({ operation: 'GetObject', status: 200, body: 'all of it', headers: { etag: '"x"' } })
  t.match(await store.read(KEY, { first: 3, last: 5 }).catch(error => error), { name: 'B2ReadError', error_code: 'service_unavailable' })
  t.match(await store.read(KEY, { first: 1_000, last: 1_001 }).catch(error => error), { name: 'B2ReadError', status: 416 })
})
