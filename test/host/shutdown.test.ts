import { PassThrough } from 'node:stream'
import Fastify from 'fastify'
import t from 'tap'
import { serverOptions } from '../../app.ts'
import b2Uploads from '../../index.ts'
import { sendHalf } from '../support/clients/half-sent.ts'
import { KIB } from '../support/promotion/promotion.ts'
import { bytes } from '../support/service/service.ts'

t.test('an app that closes waits for its uploads, however short the time is that its hooks may take', async t => {
  const app = Fastify({ pluginTimeout: 700 })
  await app.register(b2Uploads, { local: { dir: t.testdir() }, shutdownGraceMs: 60_000 })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const own = new PassThrough()
  const stored = app.uploads.store(own)
  const half = await sendHalf(t, { url }, bytes(KIB), { name: 'song.mp3', headers: { connection: 'close' } })
  while (app.uploads.inFlight < 2) await new Promise(setImmediate)
  const closed = app.close()
  while (app.server.listening) await new Promise(setImmediate)
  own.end('la la')
  t.match(await stored, { storage: 'local', track: { size_bytes: 5 } })
  t.match(await half.finish(), { status: 201 })
  await closed
})

t.test('the service\'s own hooks may take as long as its uploads', async t => {
  t.ok(serverOptions({ SHUTDOWN_GRACE_MS: '600000' }).pluginTimeout! > 600_000)
})
