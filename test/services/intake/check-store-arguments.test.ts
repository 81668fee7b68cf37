import { EventEmitter } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import t from 'tap'
import { checkStoreArguments } from '../../../services/intake/check-store-arguments.ts'

const nothing = (): void => {}
const stream = { on: nothing, pause: nothing, resume: nothing, destroy: nothing }

t.test('streams are taken, also of another class of that name', async t => {
  for (const source of [Readable.from([]), new PassThrough(), stream]) t.doesNotThrow(() => checkStoreArguments(source, {}))
})

t.test('what is no stream is refused, with what to do', async t => {
  const strangers = ['text', Buffer.from('x'), new ReadableStream(), [], {}, null, undefined, 5, new EventEmitter(), ...Object.keys(stream).map(name => ({ ...stream, [name]: 'x' }))]
  for (const source of strangers) {
    t.throws(() => checkStoreArguments(source, {}), { name: 'TypeError', message: /^fastify-b2-uploads: .*Readable\.from\(\).*Readable\.fromWeb\(\)/ })
  }
})

t.test('what is known of the file may be much or nothing', async t => {
  for (const info of [
    {}, { filename: 'a', contentType: 'a/b', correlationId: 'c', size: 0, metadata: {} }, { size: Number.MAX_SAFE_INTEGER }, { metadata: { a: 'b', c: '' } },
    { filename: undefined, contentType: undefined, correlationId: undefined, size: undefined, metadata: undefined },
  ]) t.doesNotThrow(() => checkStoreArguments(stream, info), JSON.stringify(info))
})

t.test('what it must not be is refused by its name', async t => {
  for (const [must, ...infos] of [
    ['info of store() must be an object', undefined, null, 'text', nothing],
    ['info.filename of store() must be a text', { filename: 5 }, { filename: null }],
    ['info.contentType of store() must be a text', { contentType: {} }],
    ['info.correlationId of store() must be a text', { correlationId: 5 }],
    ['info.size of store() must be a whole number of bytes', { size: -1 }, { size: 1.5 }, { size: '5' }, { size: 2 ** 53 }, { size: null }],
    ['info.metadata of store() must be an object whose values are texts', { metadata: null }, { metadata: 'text' }, { metadata: { a: 'b', c: 5 } }, { metadata: { a: undefined } }, { metadata: nothing }],
  ] as const) {
    for (const info of infos) t.throws(() => checkStoreArguments(stream, info), { name: 'TypeError', message: `fastify-b2-uploads: ${must}` }, JSON.stringify(info))
  }
})
