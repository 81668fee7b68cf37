import { EndOfStreamError } from 'strtok3'
import t from 'tap'
import { PartTokenizer } from '../../../services/audio/part-tokenizer.ts'

const parts = [Buffer.from('abc'), Buffer.alloc(0), Buffer.from('d'), Buffer.from('efgh')]
const budget = { reads: 5, bytes: 20, readBytes: 8 }
const NO_LIMIT = { reads: Infinity, bytes: Infinity, readBytes: Infinity }

t.test('it gives out bytes across parts, to the end', async t => {
  const tokenizer = new PartTokenizer(parts, { size: 100 }, budget)
  const target = Buffer.alloc(4)
  t.equal(await tokenizer.peekBuffer(target, { position: 2 }), 4)
  t.equal(target.toString(), 'cdef')
  t.equal(tokenizer.position, 0, 'peeking does not move')
  t.equal(await tokenizer.ignore(6), 6)
  t.equal(await tokenizer.readBuffer(target, { mayBeLess: true }), 2)
  t.equal(tokenizer.position, 8)
  t.equal(await tokenizer.readBuffer(target, { mayBeLess: true }), 0)
  await t.rejects(tokenizer.readBuffer(target), { message: /End-Of-Stream/ }, 'beyond the parts')
  t.equal(await tokenizer.ignore(1_000), 92, 'skipping goes to the real end')
  t.equal(await tokenizer.peekBuffer(target, { mayBeLess: true }), 0, 'where nothing is held')
})

t.test('it reads where it is told to, and goes on behind that', async t => {
  const tokenizer = new PartTokenizer(parts, { size: 8 }, NO_LIMIT)
  const target = Buffer.alloc(2)
  t.equal(await tokenizer.readBuffer(target, { position: 4 }), 2)
  t.same([target.toString(), tokenizer.position], ['ef', 6])
  tokenizer.setPosition(1)
  t.equal(await tokenizer.readBuffer(target), 2)
  t.same([target.toString(), tokenizer.position], ['bc', 3])
  for (const position of [-1, 1.5]) t.throws(() => tokenizer.setPosition(position), { name: 'RangeError', message: /^position / })
  t.equal(tokenizer.position, 3)
})

t.test('any span is what it is of the whole, and nothing around it is written', async t => {
  const tokenizer = new PartTokenizer(parts, { size: 8 }, NO_LIMIT)
  for (let position = 0; position <= 8; position++) {
    for (let length = 0; length <= 8 - position; length++) {
      const target = Buffer.alloc(10, '.')
      t.equal(await tokenizer.peekBuffer(target, { position, length }), length)
      t.equal(target.toString(), 'abcdefgh'.slice(position, position + length).padEnd(10, '.'), `${length} at ${position}`)
    }
  }
})

t.test('only a whole file is read from its end', async t => {
  for (const [size, expected] of [[8, true], [9, false], [undefined, false]] as const) {
    t.equal(new PartTokenizer(parts, size === undefined ? {} : { size }, budget).supportsRandomAccess(), expected, `${size} bytes`)
  }
})

t.test('a parse ends when it has used up its budget, and not before', async t => {
  const read = async (limit: Partial<typeof budget>, sizes: number[]): Promise<void> => {
    const tokenizer = new PartTokenizer(parts, { size: 8 }, { ...NO_LIMIT, ...limit })
    for (const size of sizes) await tokenizer.peekBuffer(Buffer.alloc(size))
  }
  for (const [limit, enough, tooMany] of [
    [{ reads: 3 }, [0, 8, 8], [0, 0, 0, 0]],
    [{ bytes: 9 }, [4, 5], [4, 5, 1]],
    [{ readBytes: 3 }, [3, 3, 3, 3], [3, 4]],
  ] as const) {
    await t.resolves(read(limit, [...enough]), JSON.stringify(limit))
    await t.rejects(read(limit, [...tooMany]), { message: /too much work/ })
  }
  t.notOk(await read({ reads: 0 }, [1]).catch((error: unknown) => error) instanceof EndOfStreamError, 'a parser must not take it for the end of the file')
})

t.test('no buffer is allocated that is larger than one read may be', async t => {
  const tokenizer = new PartTokenizer(parts, { size: 8 }, { ...NO_LIMIT, readBytes: 4 })
  const token = (len: number) => ({ len, get: (bytes: Uint8Array) => Buffer.from(bytes).toString() })
  t.equal(await tokenizer.readToken(token(4)), 'abcd')
  await t.rejects(tokenizer.peekToken(token(5)), { name: 'BufferSizeError' })
})

t.test('other work has its turn after 250 reads, and after 250 more', async t => {
  const tokenizer = new PartTokenizer(parts, { size: 8 }, NO_LIMIT)
  const target = Buffer.alloc(1)
  for (let round = 1; round <= 2; round++) {
    let hadTurn = false
    setImmediate(() => { hadTurn = true })
    for (let reads = 0; reads < 249; reads++) await tokenizer.peekBuffer(target)
    t.notOk(hadTurn, `round ${round}`)
    await tokenizer.peekBuffer(target)
    t.ok(hadTurn, `round ${round}`)
  }
})
