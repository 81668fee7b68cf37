import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import t from 'tap'
import { CheckedStream } from '../../services/checked-stream.ts'

/** What comes through, and how it ends. */
async function read (chunks: Iterable<unknown>, bytes: number): Promise<{ text: string, error: unknown }> {
  let text = ''
  let error: unknown
  const stream = new CheckedStream(bytes, cause => new Error('explained', { cause }))
  stream.on('data', chunk => { text += chunk })
  stream.on('error', found => { error = found })
  await pipeline(Readable.from(chunks), stream).catch(() => {})
  return { text, error }
}

const isDamaged = { message: 'explained', cause: { name: 'LocalStoreError', error_code: 'io_error', message: /is damaged: it has not as many bytes/ } }

t.test('as many bytes as were promised come through', async t => {
  t.same(await read([Buffer.from('ab'), Buffer.from('c')], 3), { text: 'abc', error: undefined })
  t.same(await read([], 0), { text: '', error: undefined })
})

t.test('fewer are an error at the end', async t => {
  const { text, error } = await read([Buffer.from('ab')], 3)
  t.equal(text, 'ab')
  t.match(error, isDamaged)
})

t.test('more are an error, and do not come through', async t => {
  const { text, error } = await read([Buffer.from('abc'), Buffer.from('d')], 3)
  t.equal(text, 'abc')
  t.match(error, isDamaged)
})

t.test('a source that fails is explained; a reader that stops is not an error', async t => {
  function * failing (): Generator<Buffer> {
    yield Buffer.from('ab')
    throw new Error('the disk failed')
  }
  t.match(await read(failing(), 3), { error: { message: 'explained', cause: { message: 'the disk failed' } } })

  const stream = new CheckedStream(3, () => t.fail('there is nothing to explain') as never)
  stream.destroy()
  await new Promise(resolve => stream.once('close', resolve))
  t.equal(stream.errored, null)
})
