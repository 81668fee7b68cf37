import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { begin, send } from '../support/clients/leaving-client.ts'
import { runServer as run } from '../support/service/server-process.ts'
import { b2Env, bytes, filesBelow, inB2, post, put, sha256, startB2 } from '../support/service/service.ts'

t.test('without B2 it warns once, naming what is missing, stores locally, and ends with 0 at SIGTERM', async t => {
  const server = run(t)
  const url = await server.url()
  const warnings = server.lines.filter(({ level }) => level >= 40)
  t.equal(warnings.length, 1)
  t.match(warnings[0], { level: 40, missing: ['B2_ENDPOINT', 'B2_BUCKET', 'B2_APPLICATION_KEY_ID', 'B2_APPLICATION_KEY'], msg: /local-only/ })
  const content = bytes(10_000)
  const { body } = await put({ url }, content, 'a.mp3')
  t.equal(body.storage, 'local')
  t.equal(body.location, `storage/${body.track.key}`)
  t.same((await filesBelow(server.dir)).length, 2)
  server.child.kill('SIGTERM')
  t.equal(await server.exited, 0)
  t.equal(server.stderr(), '', 'all that is said is in the log')
})

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

t.test('with B2 an upload goes there', async t => {
  const b2 = await startB2(t)
  const server = run(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', ENV: 'production', API_KEYS: '', LOCAL_STORAGE_DIR: './storage' })
  const url = await server.url()
  for (const [upload, size] of [[put, 1_000], [post, 12_000_000]] as const) {
    const content = bytes(size)
    const { body } = await upload({ url }, content, 'a.mp3')
    t.equal(body.storage, 'b2')
    t.equal(inB2(b2).files.at(-1)?.sha256, sha256(content))
  }
  t.same(await filesBelow(server.dir), [])
  server.child.kill('SIGTERM')
  t.equal(await server.exited, 0)
})

for (const variable of ['ENV', 'NODE_ENV']) {
  t.test(`production by ${variable} without B2 is one fatal line that names all, code 1, and no port`, async t => {
    const holder = net.createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const port = (holder.address() as net.AddressInfo).port
    await new Promise(resolve => holder.close(resolve))
    const server = run(t, { [variable]: 'production', PORT: String(port), B2_BUCKET: ' ' })
    t.equal(await server.exited, 1)
    t.equal(server.lines.length, 1)
    t.equal(server.lines[0]?.level, 60)
    for (const name of ['B2_ENDPOINT', 'B2_BUCKET', 'B2_APPLICATION_KEY_ID', 'B2_APPLICATION_KEY']) t.match(server.lines[0]?.msg, new RegExp(`\\b${name}\\b`))
    t.notOk(server.lines.some(({ msg }) => /listening/.test(msg)))
  })
}

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

t.test('bad values stop it with one message that names every one', async t => {
  const server = run(t, { PORT: '99999', UPLOAD_MAX_BYTES: 'many', B2_PART_BYTES: '1', LOG_LEVEL: 'loud', B2_STALL_TIMEOUT_MS: '99' })
  t.equal(await server.exited, 1)
  t.equal(server.lines.length, 1)
  t.equal(server.lines[0]?.level, 60)
  t.same(server.lines[0]?.variables, ['PORT', 'LOG_LEVEL', 'B2_STALL_TIMEOUT_MS', 'B2_PART_BYTES', 'UPLOAD_MAX_BYTES'])
  for (const name of server.lines[0]?.variables as string[]) t.match(server.lines[0]?.msg, name)
})

t.test('a port that is taken stops it with one fatal line', async t => {
  const holder = net.createServer().listen(0, '127.0.0.1')
  t.teardown(() => { holder.close() })
  await once(holder, 'listening')
  const server = run(t, { PORT: String((holder.address() as net.AddressInfo).port) })
  t.equal(await server.exited, 1)
  t.match(server.lines.filter(({ level }) => level === 60), [{ err: { code: 'EADDRINUSE' } }])
})

t.test('at SIGTERM an upload under way comes to its end within the grace, and new ones are refused', async t => {
  const server = run(t, { SHUTDOWN_GRACE_MS: '20000' })
  const url = await server.url()
  const content = bytes(3_000_000)
  const socket = await begin({ url }, 'PUT', content)
  const answered = once(socket, 'data')
  await send(socket, content.subarray(0, 1_000_000))
  const idle = await begin({ url }, 'PUT', content) // a second one, whose client does not come to its end
  await send(idle, content.subarray(0, 10))
  server.child.kill('SIGTERM')
  for (;;) {
    const { status, body } = await put({ url }, bytes(1))
    if (status === 201) continue // the signal has not arrived yet
    t.equal(status, 503)
    t.equal(body.error_code, 'shutting_down')
    break
  }
  await send(socket, content.subarray(1_000_000))
  t.match(String((await answered)[0]), /^HTTP\/1\.1 201 /)
  idle.destroy()
  t.equal(await server.exited, 0)
  t.equal(server.lines.filter(({ event, size_bytes: size }) => event === 'upload.stored' && size === content.byteLength).length, 1)
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
