import { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { build, newReceipt, put, storeFile } from '../fixtures/local-files.ts'
import { b2Down, diskDown, fail, HERE, isError, isOut, KEY, NAME, setStores, track } from '../support/service/two-stores.ts'
import type { B2, Local } from '../support/service/two-stores.ts'

t.test('a name is the end of a key, and no store is asked for what is none', async t => {
  const { files, asked } = setStores()
  for (const name of ['', 'song.mp3', `cover-${NAME}`, `tracks/${NAME}`, `../${NAME}`, NAME.toUpperCase(), `${NAME}.receipt.json`]) {
    const isNone = isError('not_found', { hints: [/last segment of the key/] })
    await t.rejects(files.receipt(name), isNone, name)
    await t.rejects(files.content(name), isNone, name)
    await t.rejects(files.remove(name), isNone, name)
  }
  t.same(asked, [])
  for (const [keyPrefix, name, key] of [['', NAME, NAME], ['a/b/', NAME, `a/b/${NAME}`], ['a/cover-', `cover-${NAME}`, `a/cover-${NAME}`], ['cover-', `cover-${NAME}`, `cover-${NAME}`]] as const) {
    const { files, asked } = setStores({ keyPrefix })
    await t.rejects(files.receipt(name), isError('not_found'))
    t.same(asked[0], ['local.find', key])
  }
})

t.test('local storage is asked, then B2, then local storage once more', async t => {
  const { signal } = new AbortController()
  const here = setStores({ local: { find: async () => HERE } })
  t.same(await here.files.receipt(NAME), newReceipt(KEY))
  t.same(here.asked, [['local.find', KEY]])

  const there = setStores({ b2: { track: async () => track } })
  t.same((await there.files.find(NAME, signal)).receipt, { storage: 'b2', location: KEY, track })
  t.same(there.asked, [['local.find', KEY], ['b2.isForgotten', KEY], ['b2.track', KEY, signal]])

  let looks = 0
  const between = setStores({ local: { find: async () => looks++ === 0 ? undefined : HERE } })
  t.same(await between.files.receipt(NAME), newReceipt(KEY))
  t.same(between.calls(), ['local.find', 'b2.isForgotten', 'b2.track', 'local.find'])

  for (const nowhere of [setStores(), setStores({ b2: false })]) await t.rejects(nowhere.files.receipt(NAME), isError('not_found'))
})

t.test('what is to be removed from B2 is not there any more', async t => {
  const { files, calls } = setStores({ b2: { isForgotten: () => true, track: async () => track } })
  await t.rejects(files.receipt(NAME), isError('not_found'))
  t.notOk(calls().includes('b2.track'))
})

t.test('a store that fails is out of reach, unless the other one has the file', async t => {
  const damaged = { find: async () => await fail(diskDown) }
  t.match(await setStores({ local: damaged, b2: { track: async () => track } }).files.receipt(NAME), { storage: 'b2' })
  t.match(await setStores({ local: { find: async () => HERE }, b2: { track: async () => await fail(b2Down) } }).files.receipt(NAME), { storage: 'local' })
  await t.rejects(setStores({ b2: { track: async () => await fail(b2Down) } }).files.receipt(NAME), isOut(b2Down, { message: /B2 answered 503/ }))
  for (const b2 of [{}, false] as const) await t.rejects(setStores({ local: damaged, b2 }).files.receipt(NAME), isOut(diskDown, { message: 'The disk is gone.' }))
  let looks = 0
  const failing = async () => looks++ === 0 ? undefined : await fail(diskDown)
  await t.rejects(setStores({ local: { find: failing } }).files.receipt(NAME), isOut(diskDown))
})

t.test('what is no failure of a store is passed on', async t => {
  for (const error of [new TypeError('a bug'), Object.assign(new Error('the reader left'), { code: 'ABORT_ERR' })]) {
    await t.rejects(setStores({ b2: { track: async () => await fail(error) } }).files.receipt(NAME), error)
  }
})

t.test('a file\'s bytes, and those of a range, are read from either store', async t => {
  const { store } = build(t)
  await storeFile(store, KEY)
  const read: B2['read'] = async (_key, range) => Readable.from([Buffer.from('data').subarray(range?.first, range && range.last + 1)])
  const { signal } = new AbortController()
  for (const { files, asked } of [setStores({ local: store }), setStores({ b2: { track: async () => track, read } })]) {
    const whole = await files.content(NAME)
    t.same([whole.size, whole.receipt.track, await text(whole.stream)], [4, track, 'data'])
    const range = await files.content(NAME, { first: 1, last: 2 }, signal)
    t.same([range.size, await text(range.stream)], [2, 'at'])
    if (asked.at(-1)?.[0] === 'b2.read') t.same(asked.at(-1), ['b2.read', KEY, { first: 1, last: 2 }, signal, 2])
    await files.close(3_600_000)
  }
})

t.test('a range lies within the file', async t => {
  const { store } = build(t)
  await storeFile(store, KEY)
  const { files } = setStores({ local: store, b2: false })
  for (const [first, last] of [[0, 0], [0, 3], [3, 3]] as const) {
    t.equal((await buffer((await files.content(NAME, { first, last })).stream)).byteLength, last - first + 1)
  }
  for (const [first, last] of [[-1, 1], [2, 1], [0, 4], [4, 4], [0.5, 1], [0, 1.5], [NaN, 1], [0, NaN]] as const) {
    await t.rejects(files.content(NAME, { first, last }), isError('range_not_satisfiable', { message: 'The file has 4 bytes.' }), `${first}-${last}`)
  }
})

t.test('a local file of another size is closed and left alone: B2 may have the right one', async t => {
  const { dir, store } = build(t)
  await storeFile(store, KEY)
  put(dir, KEY, 'dat')
  let closed = 0
  const openFile: Local['openFile'] = async key => {
    const file = await store.openFile(key)
    return file && { ...file, close: async () => { closed++; await file.close() } }
  }
  const local = { find: store.find, openFile }
  t.equal(await text((await setStores({ local, b2: { read: async () => Readable.from([Buffer.from('DATA')]) } }).files.content(NAME)).stream), 'DATA')
  await t.rejects(setStores({ local }).files.content(NAME), isOut({ name: 'LocalStoreError', error_code: 'io_error' }))
  t.equal(closed, 2)
  await t.rejects(setStores({ local: { find: store.find } }).files.content(NAME), isError('not_found'), 'one that is gone meanwhile is not found')
})

t.test('a stream ends with an error if its store fails', async t => {
  const broken = (error: Error) => new Readable({ read () { this.destroy(error) } })
  const errors: [Readable, ReturnType<typeof isOut>][] = [
    [broken(b2Down), isOut(b2Down)],
    [broken(Object.assign(new Error('no'), { code: 'EIO', syscall: 'read' })), isOut({ name: 'LocalStoreError', code: 'EIO' })],
  ]
  for (const [source, error] of errors) {
    const { files } = setStores({ b2: { track: async () => track, read: async () => source } })
    await t.rejects(buffer((await files.content(NAME)).stream), error)
    await files.close(3_600_000)
  }
})

t.test('a reader\'s signal ends the stream and its source', async t => {
  const source = new Readable({ read () {} })
  const reader = new AbortController()
  const { files } = setStores({ b2: { track: async () => track, read: async () => source } })
  const { stream } = await files.content(NAME, undefined, reader.signal)
  const read = buffer(stream)
  reader.abort()
  await t.rejects(read, { name: 'AbortError' })
  await turn()
  t.ok(source.destroyed)
  await files.close(3_600_000)
})

t.test('at the end streams have a grace, and are ended after it', async t => {
  const { files } = setStores({ b2: { track: async () => track, read: async () => new Readable({ read () {} }) } })
  const [quick, slow] = [await files.content(NAME), await files.content(NAME)]
  const closing = files.close(100)
  quick.stream.destroy()
  await t.rejects(buffer(slow.stream), isError('shutting_down'))
  await closing
})
