import { once } from 'node:events'
import net from 'node:net'
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

t.test('bad values stop it with one message that names every one', async t => {
  const server = run(t, { PORT: '99999', UPLOAD_MAX_BYTES: 'many', B2_PART_BYTES: '1', LOG_LEVEL: 'loud', B2_STALL_TIMEOUT_MS: '99' })
  t.equal(await server.exited, 1)
  t.equal(server.lines.length, 1)
  t.equal(server.lines[0]?.level, 60)
  t.same(server.lines[0]?.variables, ['PORT', 'LOG_LEVEL', 'B2_STALL_TIMEOUT_MS', 'B2_PART_BYTES', 'UPLOAD_MAX_BYTES'])
  for (const name of server.lines[0]?.variables as string[]) t.match(server.lines[0]?.msg, name)
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
