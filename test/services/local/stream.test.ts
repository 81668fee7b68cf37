import { buffer } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { LocalStream } from '../../../services/local/stream.ts'
import { bytes } from '../../support/service/service.ts'

const CONTENT = bytes(20 * 1_048_576)

/** A file handle, and what was asked of it. */
function setHandle (content = CONTENT) {
  const asked: number[] = []
  const state = { closed: 0 }
  const read = async (into: Buffer, _offset: number, length: number, position: number): Promise<{ bytesRead: number, buffer: Buffer }> => {
    asked.push(position)
    return { bytesRead: content.copy(into, 0, position, position + length), buffer: into }
  }
  return { asked, state, handle: { read: read as never, close: async () => { state.closed++ } } }
}

t.test('it gives the bytes that were asked for, and closes the file', async t => {
  for (const [first, end] of [[0, CONTENT.byteLength], [0, 0], [1_000, 1_001], [1_000, 70_000]] as const) {
    const { handle, state } = setHandle()
    t.ok((await buffer(new LocalStream(handle, { first, end }))).equals(CONTENT.subarray(first, end)), `${first} to ${end}`)
    t.equal(state.closed, 1)
  }
})

t.test('a file that has become shorter is damaged, and one that has grown ends where it did', async t => {
  const { handle, state } = setHandle(CONTENT.subarray(0, 100_000))
  const short = new LocalStream(handle, { first: 0, end: 100_001 })
  await t.rejects(buffer(short), { name: 'LocalStoreError', error_code: 'io_error', message: /is damaged: it has fewer bytes/ })
  t.equal(state.closed, 1)
  t.equal((await buffer(new LocalStream(setHandle().handle, { first: 0, end: 100_000 }))).byteLength, 100_000)
})

t.test('what fails is told, and closes the file', async t => {
  const { handle, state } = setHandle()
  await t.rejects(buffer(new LocalStream({ ...handle, read: (async () => { throw new Error('the disk failed') }) as never }, { first: 0, end: 9 })), { message: 'the disk failed' })
  t.equal(state.closed, 1)
  await t.rejects(buffer(new LocalStream({ ...handle, close: async () => { throw new Error('it can\'t be closed') } }, { first: 0, end: 9 })), { message: 'it can\'t be closed' })
})

t.test('a reader that stands still keeps no more than a small piece, and goes on where it was', async t => {
  const { handle, asked } = setHandle()
  const stream = new LocalStream(handle, { first: 0, end: CONTENT.byteLength })
  const iterator = stream[Symbol.asyncIterator]()
  const { value } = await iterator.next() as { value: Buffer }
  t.ok(value.buffer.byteLength <= 16_384, 'nor does that belong to a larger buffer')
  await wait(2_000)
  const rest: Buffer[] = []
  for await (const chunk of { [Symbol.asyncIterator]: () => iterator }) rest.push(chunk as Buffer)
  t.ok(Buffer.concat([value, ...rest]).equals(CONTENT))
  t.ok(asked[1]! <= 2 * 16_384, 'the bytes that it did not take were let go, and read again')
  t.ok(rest.at(-2)!.byteLength > 16_384, 'one that is far into the file does read')
})
