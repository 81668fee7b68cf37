import { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import b2Uploads, { optionsFromEnv } from '../../index.ts'
import type { B2UploadsOptions, Receipt } from '../../index.ts'
import { CALM, isPromoted, KIB, MIB } from '../support/promotion/promotion.ts'
import { b2Env, bytes, createLogBook, filesBelow, put, startB2 } from '../support/service/service.ts'

/** A host that keeps records of its own. */
async function startHost (t: Test, options: Partial<B2UploadsOptions>, env: Record<string, string> = {}) {
  const b2 = await startB2(t)
  const log = createLogBook()
  const app = Fastify({ logger: { level: 'info', stream: log.stream } })
  t.teardown(() => app.close())
  const dir = t.testdir()
  await app.register(b2Uploads, { ...optionsFromEnv({ ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: dir, ...env }), ...options })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const down = () => b2.fault({ operation: ['PutObject', 'CreateMultipartUpload'], status: 503, times: Infinity })
  return { b2, app, url, log, dir, down, service: { app, url, log, dir, localFiles: () => filesBelow(dir) } }
}

t.test('onStored gets each receipt before the answer goes, in B2 and fallback alike', async t => {
  const told: Receipt[] = []
  let isTold = false
  const { app, url, down } = await startHost(t, {
    async onStored (receipt) {
      await wait(20)
      isTold = true
      told.push(receipt)
    },
  })
  const first = await put({ url }, bytes(KIB))
  t.ok(isTold)
  t.same(told, [first.body])
  const fault = down()
  const second = await put({ url }, bytes(6 * MIB))
  fault.cancel()
  t.equal(second.body.storage, 'local')
  const third = await app.uploads.store(Readable.from([bytes(KIB)]))
  t.same(told, [first.body, second.body, third])
})

t.test('onStored is told which request brought the file, and that store() had none', async t => {
  const told: unknown[] = []
  const { app, url } = await startHost(t, {
    onStored: ({ storage }, { request }) => { told.push([storage, request?.method, request?.headers['x-user'], request?.url]) },
  })
  await put({ url }, bytes(10), 'a.bin', { 'x-user': 'alice' })
  await app.uploads.store(Readable.from(['bytes']))
  t.same(told, [['b2', 'PUT', 'alice', '/uploads/a.bin'], ['b2', undefined, undefined, undefined]])
})

t.test('an onStored that fails fails no upload, and is logged', async t => {
  for (const onStored of [async () => { throw new Error('the host is confused') }, () => { throw new Error('the host is confused') }]) {
    const { url, log, b2 } = await startHost(t, { onStored })
    const { status, body, headers } = await put({ url }, bytes(KIB))
    t.equal(status, 201)
    t.ok(b2.read(body.location))
    t.match(log.of('hook.failed'), [{ level: 50, hook: 'onStored', location: body.location, correlation_id: headers.get('x-correlation-id'), err: { message: 'the host is confused' } }])
    t.equal(log.of('upload.stored').length, 1)
    t.same(log.of('upload.failed'), [])
  }
})

t.test('onStored is not called for what was not stored', async t => {
  const told: Receipt[] = []
  const { url } = await startHost(t, { onStored: receipt => told.push(receipt), maxBytes: 10 })
  t.equal((await put({ url }, bytes(KIB))).status, 413)
  t.same(told, [])
})

t.test('an app that closes waits for onStored', async t => {
  let ended = false
  let begin = (): void => {}
  const begun = new Promise<void>(resolve => { begin = resolve })
  const { app } = await startHost(t, {
    async onStored () {
      begin()
      await wait(100)
      ended = true
    },
  })
  const storing = app.uploads.store(Readable.from([bytes(KIB)]))
  await begun
  await app.close()
  t.ok(ended)
  t.equal((await storing).storage, 'b2')
})

t.test('an app that closes waits for an onStored that never ends no longer than for uploads, and says so', async t => {
  let begin = (): void => {}
  const begun = new Promise<void>(resolve => { begin = resolve })
  const { app, url, log, b2 } = await startHost(t, {
    shutdownGraceMs: 100,
    async onStored () {
      begin()
      await new Promise(() => {})
    },
  })
  const storing = put({ url }, bytes(KIB))
  await begun
  await app.close()
  const { status, body } = await storing
  t.equal(status, 201)
  t.ok(b2.read(body.location))
  t.match(log.of('hook.failed'), [{ hook: 'onStored', msg: /was still running when the app had to close/, err: { message: /shutting down/ } }])
})

t.test('onPromoted gets the new receipt while the file is still in local storage too', async t => {
  const told: Receipt[] = []
  let seen: string[] = []
  const host = await startHost(t, {
    async onPromoted (receipt) {
      told.push(receipt)
      seen = await filesBelow(host.dir)
    },
  })
  const { b2, app, url, down, service } = host
  const content = bytes(6 * MIB)
  const fault = down()
  const { body } = await put({ url }, content)
  fault.cancel()
  t.match(await app.uploads.promote(), { promoted: 1 })
  const { track } = body
  t.same(told, [{ storage: 'b2', location: track.key, track }])
  t.ok(seen.includes(track.key))
  await isPromoted(t, b2, service, [{ key: track.key, content }])
})

t.test('an onPromoted that fails is called again at the next pass, and the file stays until it doesn\'t', async t => {
  let failures = 7
  let calls = 0
  const { b2, app, url, log, down, service } = await startHost(t, {
    onPromoted () {
      calls++
      if (failures-- > 0) throw new Error('the host is confused')
    },
  })
  const [bad, good] = [bytes(KIB), bytes(6 * MIB)]
  const fault = down()
  const keys = [(await put({ url }, bad)).body.track.key, (await put({ url }, good)).body.track.key]
  fault.cancel()
  failures = 1
  t.match(await app.uploads.promote(), { promoted: 1, failed: 1, pending: 1 }, 'the other file is not held up')
  t.same((await filesBelow(service.dir)), [keys[0], `${keys[0]}.receipt.json`])
  t.match(log.of('hook.failed'), [{ level: 50, hook: 'onPromoted', key: keys[0], err: { message: 'the host is confused' } }])
  t.match(log.of('promotion.failed'), [{ key: keys[0], error_code: 'hook_failed' }])
  failures = 7
  for (let count = 0; count < 7; count++) t.match(await app.uploads.promote(), { failed: 1, set_aside: 0, skipped: 0 }, 'however often')
  t.match(await app.uploads.promote(), { promoted: 1, pending: 0 })
  t.equal(calls, 10)
  t.equal(b2.requests.filter(({ operation, status }) => operation === 'PutObject' && status === 200).length, 1, 'it is sent once')
  await isPromoted(t, b2, service, [{ key: keys[0], content: bad }, { key: keys[1], content: good }])
})

t.test('an onPromoted that removes the file is obeyed, and waits for nobody', async t => {
  const host = await startHost(t, {
    async onPromoted ({ track }) { await host.app.uploads.remove(track.key.slice('tracks/'.length)) },
  })
  const { b2, app, url, down } = host
  const fault = down()
  await put({ url }, bytes(KIB))
  fault.cancel()
  t.match(await app.uploads.promote(), { pending: 0 })
  t.same(b2.versions(), [])
  t.same(await filesBelow(host.dir), [])
})

t.test('an app that closes does not wait for an onPromoted that never ends, and tells it again after the next start', async t => {
  const told: Receipt[] = []
  let begin = (): void => {}
  const begun = new Promise<void>(resolve => { begin = resolve })
  const { b2, app, url, dir, down } = await startHost(t, {
    shutdownGraceMs: 100,
    async onPromoted () {
      begin()
      await new Promise(() => {})
    },
  })
  const fault = down()
  const { body } = await put({ url }, bytes(KIB))
  fault.cancel()
  const promoting = app.uploads.promote()
  await begun
  await app.close()
  t.match(await promoting, { promoted: 0, pending: 1 })

  const next = Fastify()
  t.teardown(() => next.close())
  await next.register(b2Uploads, { ...optionsFromEnv({ ...b2Env(b2), ...CALM, LOCAL_STORAGE_DIR: dir }), onPromoted: receipt => told.push(receipt) })
  await next.ready()
  t.match(await next.uploads.promote(), { promoted: 1, pending: 0 })
  t.match(told, [{ storage: 'b2', location: body.track.key }])
})
