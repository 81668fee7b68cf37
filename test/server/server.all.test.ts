import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { begin, send } from '../support/clients/leaving-client.ts'
import { runServer as run } from '../support/service/server-process.ts'
import { b2Env, bytes, filesBelow, startB2 } from '../support/service/service.ts'

t.test('listens on one address, also as localhost, where that is two', async t => {
  const both = `import dns from 'node:dns'
    const { lookup } = dns
    dns.lookup = (name, options, done) => name === 'localhost' && options.all === true
      ? done(null, ['127.0.0.1', '127.0.0.2'].map(address => ({ address, family: 4 })))
      : lookup(name, options, done)`
  const server = run(t, { HOST: 'localhost', NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(both)}` })
  t.match(await server.url(), /^http:\/\/127\.0\.0\.1:/)
  server.child.kill('SIGTERM')
  t.equal(await server.exited, 0)
  t.equal(server.lines.filter(({ msg }) => /listening/.test(msg)).length, 1)
})

t.test('a service that is ended as soon as it listens ends with 0, whatever it does with its disk', async t => {
  const dir = t.testdir({ a: {}, b: {}, c: {} })
  await Promise.all(['a', 'b', 'c'].map(async name => {
    const server = run(t, {}, { cwd: join(dir, name) })
    await server.url()
    server.child.kill('SIGTERM')
    t.equal(await server.exited, 0)
  }))
})

t.test('production whose region can\'t be derived, or whose directory can\'t be used, does not start', async t => {
  const b2 = await startB2(t)
  const { B2_REGION: _region, ...noRegion } = b2Env(b2)
  const region = run(t, { ...noRegion, ENV: 'production' })
  t.equal(await region.exited, 1)
  t.match(region.lines, [{ level: 60, msg: /B2_REGION/ }])
  const directory = run(t, { ...b2Env(b2), ENV: 'production', LOCAL_STORAGE_DIR: '/dev/null/storage' })
  t.equal(await directory.exited, 1)
  t.equal(directory.lines.filter(({ level }) => level === 60).length, 1)
  t.match(JSON.stringify(directory.lines.at(-1)), /\/dev\/null\/storage/)
  t.notOk([...region.lines, ...directory.lines].some(({ msg }) => /listening/.test(msg)))
})

t.test('a port that is taken stops it with one fatal line', async t => {
  const holder = net.createServer().listen(0, '127.0.0.1')
  t.teardown(() => { holder.close() })
  await once(holder, 'listening')
  const server = run(t, { PORT: String((holder.address() as net.AddressInfo).port) })
  t.equal(await server.exited, 1)
  t.match(server.lines.filter(({ level }) => level === 60), [{ err: { code: 'EADDRINUSE' } }])
})

t.test('at SIGTERM an upload that takes longer than the grace is ended', async t => {
  const server = run(t, { SHUTDOWN_GRACE_MS: '200' })
  const url = await server.url()
  const socket = await begin({ url }, 'PUT', bytes(1_000))
  const answered = once(socket, 'data')
  await send(socket, bytes(10))
  server.child.kill('SIGTERM')
  const text = String((await answered)[0])
  t.match(text, /^HTTP\/1\.1 503 /)
  t.match(text, /"error_code":"shutting_down"/)
  socket.destroy()
  t.equal(await server.exited, 0)
  t.match(server.lines.find(({ event }) => event === 'upload.failed'), { error_code: 'shutting_down' })
  t.same(await filesBelow(server.dir), [])
})
