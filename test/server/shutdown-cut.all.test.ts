import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { contentPath, request, rest } from '../support/clients/download.ts'
import { sendHalf, untilInFlight } from '../support/clients/half-sent.ts'
import { CALM, filesIn, KIB, MIB, untilB2 } from '../support/promotion/promotion.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { runServer } from '../support/service/server-process.ts'
import { b2Env, bytes, put, startB2 } from '../support/service/service.ts'

t.test('what can\'t come to its end within the grace is ended, and nothing of it is left', async t => {
  const b2 = await startB2(t)
  const server = runServer(t, { ...b2Env(b2), ...CALM, SHUTDOWN_GRACE_MS: '500' })
  const service = { url: await server.url() }
  const { body: { track: older } } = await put(service, bytes(12 * MIB), 'older.bin')
  const download = await request(service, contentPath(older.key)) // which nobody reads
  await connect(t, service) // over which nothing comes
  await (await connect(t, service)).send('PUT /uploads/a HTTP/1.1\r\nho')

  b2.fault({ operation: ['PutObject', 'CompleteMultipartUpload'], key: /\.hanging$/, action: 'hang', times: Infinity })
  b2.fault({ operation: ['PutObject', 'CompleteMultipartUpload'], key: /\.untold$/, action: 'lose-answer-hang', times: Infinity })
  let waiting = 4
  const withheld = new Promise<void>(resolve => b2.on('fault', () => { if (--waiting === 0) resolve() }))
  const whole = async (name: string, size: number) => await sendHalf(t, service, bytes(size), { name, sent: size })
  b2.fault({ operation: 'CreateMultipartUpload', key: /\.fallback$/, status: 403 })
  const stalled = [
    await sendHalf(t, service, bytes(2 * KIB), { name: 'a.small' }),
    await sendHalf(t, service, bytes(12 * MIB), { name: 'a.large' }),
    await sendHalf(t, service, bytes(6 * MIB), { name: 'a.form', method: 'POST' }),
    await sendHalf(t, service, bytes(12 * MIB), { name: 'a.fallback' }),
  ]
  // All has come of these, and it is B2 that does not answer.
  const sent = [await whole('a.hanging', 2 * KIB), await whole('b.hanging', 6 * MIB), await whole('a.untold', 2 * KIB), await whole('b.untold', 6 * MIB)]
  await untilInFlight(service, 8)
  while (!(await server.localFiles()).some(name => name.endsWith('.part'))) { /* looks again */ }
  await untilB2(b2, () => b2.unfinishedUploads().some(({ key, parts }) => key.endsWith('.large') && parts.length > 0))
  await withheld
  server.child.kill('SIGTERM')

  for (const { client } of stalled) {
    isError(t, await client.answer(), 503, 'shutting_down')
    client.socket.destroy() // else the service would wait a while for it
  }
  for (const { name, client, content } of sent) {
    const { status, body } = (await client.answer())!
    t.match({ name, status, body }, { status: 201, body: { storage: 'local', fallback_reason: { error_code: 'timeout' } } })
    t.ok((await readFile(join(server.dir, body.track.key))).equals(content), 'it is stored locally instead')
  }
  t.notOk((await rest(download)).isWhole)
  t.equal(await server.exited, 0)

  t.same(b2.unfinishedUploads(), [])
  const extensions = (keys: string[]): string[] => keys.map(key => key.slice(key.lastIndexOf('.') + 1))
  t.same(extensions(filesIn(b2).map(({ key }) => key)).sort(), ['bin', 'untold', 'untold'], 'what B2 had stored without telling')
  t.same(extensions((await server.localFiles()).filter(name => !name.endsWith('.receipt.json'))).sort(), ['hanging', 'hanging', 'untold', 'untold'])
  t.same(server.lines.filter(({ level, event }) => level >= 50 && event !== 'upload.failed'), [])
})
