import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { PartFeed } from '../../../services/b2/part-feed.ts'

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

t.test('a part is taken by one worker, and push waits for that', async t => {
  const feed = new PartFeed()
  const [first, second] = [feed.numbered()[Symbol.asyncIterator](), feed.numbered()[Symbol.asyncIterator]()]
  let isTaken = false
  const pushed = feed.push(bytes(1)).then(() => { isTaken = true })
  await turn()
  t.notOk(isTaken)
  t.same(await first.next(), { done: false, value: { partNumber: 1, data: bytes(1) } })
  await pushed

  const taken = [first.next(), second.next()]
  await feed.push(bytes(2))
  await feed.push(bytes(3), true)
  t.same(await Promise.all(taken), [
    { done: false, value: { partNumber: 2, data: bytes(2) } },
    { done: false, value: { partNumber: 3, data: bytes(3), lastPart: true } },
  ])
  t.same(await first.next(), { done: true, value: undefined }, 'there are no more after the last one')
})

t.test('a feed that is closed lets go of everybody, and of what comes later', async t => {
  const feed = new PartFeed()
  const pushed = feed.push(bytes(1))
  feed.close()
  await pushed
  t.same(await feed.numbered()[Symbol.asyncIterator]().next(), { done: true, value: undefined }, 'a part that nobody took is dropped')
  await feed.push(bytes(2))
  await feed.push(bytes(3), true)
  feed.close()
  t.same(await feed.numbered()[Symbol.asyncIterator]().next(), { done: true, value: undefined })

  const other = new PartFeed()
  const waiting = [other.numbered()[Symbol.asyncIterator]().next(), other.numbered()[Symbol.asyncIterator]().next()]
  other.close()
  t.same(await Promise.all(waiting), [{ done: true, value: undefined }, { done: true, value: undefined }])
})

t.test('as plain bytes it gives the same parts', async t => {
  const feed = new PartFeed()
  const read = (async () => {
    const parts = []
    for await (const part of feed.bytes()) parts.push(part)
    return parts
  })()
  await feed.push(bytes(1))
  await feed.push(bytes(2), true)
  t.same(await read, [bytes(1), bytes(2)])
})
