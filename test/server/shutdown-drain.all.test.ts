import t from 'tap'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { contentPath, request, rest } from '../support/clients/download.ts'
import { sendHalf, untilInFlight } from '../support/clients/half-sent.ts'
import { scrape } from '../support/service/metrics.ts'
import { CALM, filesIn, KIB, MIB } from '../support/promotion/promotion.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { runServer } from '../support/service/server-process.ts'
import { b2Env, bytes, put, sha256, startB2 } from '../support/service/service.ts'
import { get } from '../support/service/stored-files.ts'

t.test('at SIGTERM all that is under way comes to its end, and nothing new begins', async t => {
  const b2 = await startB2(t)
  const server = runServer(t, { ...b2Env(b2), ...CALM, B2_MAX_ATTEMPTS: '2', SHUTDOWN_GRACE_MS: '60000' })
  const service = { url: await server.url() }
  const kept = await connect(t, service)
  await kept.send('GET /health HTTP/1.1\r\nhost: x\r\n\r\n')
  t.equal((await kept.answer())?.status, 200)
  const { body: { track: older } } = await put(service, bytes(12 * MIB), 'older.bin')
  const download = await request(service, contentPath(older.key)) // nothing of it is read before the signal

  b2.fault({ operation: 'CreateMultipartUpload', key: /\.fallback$/, status: 403 })
  b2.fault({ operation: 'UploadPart', key: /\.retried$/, status: 503, headers: { 'retry-after': '1' } })
  const refused = b2.waitFor('response', ({ key, status }) => status === 503 && key?.endsWith('.retried') === true)
  const halves = [
    await sendHalf(t, service, bytes(2 * KIB), { name: 'a.small' }),
    await sendHalf(t, service, bytes(12 * MIB), { name: 'a.large' }),
    await sendHalf(t, service, bytes(6 * MIB), { name: 'a.form', method: 'POST' }),
    await sendHalf(t, service, bytes(100 * KIB), { name: 'a.slow', sent: 1 }),
    await sendHalf(t, service, bytes(12 * MIB), { name: 'a.fallback' }),
    await sendHalf(t, service, bytes(6 * MIB), { name: 'a.retried', sent: 6 * MIB }),
  ]
  await untilInFlight(service, halves.length)
  await server.line(({ event }) => event === 'b2.failed')
  await refused
  server.child.kill('SIGTERM')

  while ((await fetch(`${service.url}/ready`)).status === 200) { /* the signal has not arrived yet */ }
  t.equal((await get(service, '/ready')).body.status, 'unavailable')
  t.equal((await fetch(`${service.url}/health`)).status, 200, 'the process lives')
  const late = await put(service, bytes(10))
  isError(t, late, 503, 'shutting_down')
  t.match(late.headers.get('retry-after'), /^\d+$/)
  await kept.send('PUT /uploads/a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc')
  isError(t, await kept.answer(), 503, 'shutting_down')

  const answers = await Promise.all(halves.map(async half => await half.finish(half.name === 'a.slow' ? 20 : 1)))
  const read = await rest(download)
  t.match({ isWhole: read.isWhole, sha256: sha256(read.body) }, { isWhole: true, sha256: older.sha256 }, 'a download as well')
  t.equal(await server.exited, 0)
  t.equal(server.stderr(), '')

  const locally: string[] = []
  for (const [index, { name, content }] of halves.entries()) {
    const { status, body } = answers[index]!
    const storage = name === 'a.fallback' ? 'local' : 'b2'
    t.match({ name, status, body }, { status: 201, body: { storage, track: { sha256: sha256(content) } } })
    const { key } = body.track
    t.ok((storage === 'local' ? await readFile(join(server.dir, key)) : b2.read(key))?.equals(content), `${name} is stored, byte by byte`)
    if (storage === 'local') locally.push(key, `${key}.receipt.json`)
  }
  t.equal(filesIn(b2).length, halves.length, 'all but one of these, and the older one')
  t.same(b2.unfinishedUploads(), [])
  t.same(await server.localFiles(), locally)
  const closing = server.lines.filter(({ event }) => event?.startsWith('upload.'))
  t.equal(closing.filter(({ event }) => event === 'upload.stored').length, halves.length + 1)
  t.equal(closing.filter(({ error_code }) => error_code === 'shutting_down').length, closing.length - halves.length - 1)
})

t.test('an upload that waits for memory at SIGTERM gets it, and is stored', async t => {
  const b2 = await startB2(t)
  const server = runServer(t, { ...b2Env(b2), ...CALM, REPLAY_WINDOW_BYTES: String(MIB), MEMORY_BUDGET_BYTES: String(32 * MIB), SHUTDOWN_GRACE_MS: '60000' })
  const service = { url: await server.url() }
  const stopThrottling = b2.on('request', ({ operation }) => { if (operation === 'UploadPart') b2.throttle({ bytesPerSecond: 1 }) })
  const first = put(service, bytes(30 * MIB), 'a.first')
  while ((await scrape(service)).samples.get('upload_memory_held_bytes')! < 25 * MIB) { /* asks again */ }
  const second = put(service, bytes(12 * MIB), 'a.second')
  await untilInFlight(service, 2)
  server.child.kill('SIGTERM')
  while ((await fetch(`${service.url}/ready`)).status === 200) { /* the signal has not arrived yet */ }
  t.notOk(b2.requests.some(({ key }) => key?.endsWith('.second')), 'B2 has heard nothing of it')
  stopThrottling()
  b2.throttle(null)
  for (const { status, body } of [await first, await second]) t.match({ status, body }, { status: 201, body: { storage: 'b2' } })
  t.equal(await server.exited, 0)
})
