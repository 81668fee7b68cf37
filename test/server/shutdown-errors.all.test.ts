import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { sendHalf, untilInFlight } from '../support/clients/half-sent.ts'
import { CALM, filesIn, KIB, MIB } from '../support/promotion/promotion.ts'
import { isError } from '../support/clients/raw-http.ts'
import { runServer } from '../support/service/server-process.ts'
import { b2Env, bytes, put, sha256, startB2 } from '../support/service/service.ts'

const preload = 'test/fixtures/throws-when-told.ts'
const MESSAGE = 'uncaught error'

t.test('errors that nobody catches are logged, what is under way comes to its end, and the exit code is 1', async t => {
  const b2 = await startB2(t)
  const server = runServer(t, { ...b2Env(b2), ...CALM, SHUTDOWN_GRACE_MS: '60000' }, { preload })
  const service = { url: await server.url() }
  const half = await sendHalf(t, service, bytes(6 * MIB), { name: 'song.mp3' })
  await untilInFlight(service, 1)
  server.child.send('exception')
  await server.line(({ level }) => level === 60)
  isError(t, await put(service, bytes(1)), 503, 'shutting_down')
  t.equal((await fetch(`${service.url}/ready`)).status, 503)
  // What broke once may break again meanwhile.
  for (const [index, kind] of ['rejection', 'rejection of nothing', 'exception'].entries()) {
    server.child.send(kind)
    await server.line(({ level }) => level === 60 && server.lines.filter(line => line.level === 60).length === index + 2)
  }
  t.match(await half.finish(), { status: 201, body: { storage: 'b2' } })
  t.equal(await server.exited, 1)
  const [file] = filesIn(b2)
  t.equal(file?.sha256, sha256(half.content))
  t.match(server.lines.filter(({ level }) => level === 60), [
    { msg: MESSAGE, err: { message: 'a bug', stack: /throws-when-told/ } }, { msg: MESSAGE, err: { message: 'another bug' } }, { msg: MESSAGE }, { msg: MESSAGE, err: { message: 'a bug' } },
  ])
  t.equal(server.stderr(), '', 'all that is said is in the log')
})

t.test('after such an error a client that stands still keeps the process no longer than the grace', async t => {
  const server = runServer(t, { SHUTDOWN_GRACE_MS: '200' }, { preload })
  const service = { url: await server.url() }
  const { client } = await sendHalf(t, service, bytes(KIB), { name: 'song.mp3' })
  await untilInFlight(service, 1)
  server.child.send('rejection')
  isError(t, await client.answer(), 503, 'shutting_down')
  client.socket.destroy()
  t.equal(await server.exited, 1)
  t.same(await server.localFiles(), [])
})

t.test('a second signal ends the process at once, with the exit code 1, and nothing half stored can be read', async t => {
  const b2 = await startB2(t)
  const server = runServer(t, { ...b2Env(b2), ...CALM, SHUTDOWN_GRACE_MS: '60000' })
  const service = { url: await server.url() }
  const { client } = await sendHalf(t, service, bytes(12 * MIB), { name: 'song.mp3' })
  await untilInFlight(service, 1)
  server.child.kill('SIGTERM')
  while ((await fetch(`${service.url}/ready`)).status === 200) { /* the signal has not arrived yet */ }
  await wait(2_100) // a signal that comes sooner is taken for the same one
  server.child.kill('SIGINT')
  t.equal(await server.exited, 1)
  t.equal(await client.answer(), undefined)
  t.same(filesIn(b2), [])
  t.same(await server.localFiles(), [])
})
