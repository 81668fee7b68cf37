import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { uuidV7 } from '../../fixtures/local-files.ts'
import { runOnHangingDisk } from '../../support/disk/hanging-disk.ts'
import { fallBack, isStoredInB2, namedB2, readiness } from '../../support/disk/hung-service.ts'
import { KIB, MIB } from '../../support/promotion/promotion.ts'
import { isError } from '../../support/clients/raw-http.ts'
import { runServer } from '../../support/service/server-process.ts'
import { bytes, put, startB2 } from '../../support/service/service.ts'
import { contentOf, get, isEmpty } from '../../support/service/stored-files.ts'

t.test('reads that hang for good stop neither uploads to B2 nor /ready', async t => {
  const b2 = await startB2(t)
  const server = runServer(t, namedB2(b2))
  const service = { url: await server.url() }
  const reads = Array.from({ length: 8 }, () => {
    const name = `${uuidV7()}.mp3`
    // To open a FIFO takes a thread of libuv's pool until somebody writes to it.
    const path = join(server.dir, 'tracks', `${name}.receipt.json`)
    mkdirSync(dirname(path), { recursive: true })
    execFileSync('mkfifo', [path])
    return fetch(`${service.url}/uploads/${name}/content`).catch(() => {})
  })
  await wait(100) // they have all begun
  await isStoredInB2(t, b2, service, KIB)
  await isStoredInB2(t, b2, service, 12 * MIB)
  t.equal(await readiness(t, service), 'ok', 'writes are well')
  server.child.kill('SIGKILL')
  await Promise.all(reads)
})

for (const call of ['mkdir', 'open', 'write', 'sync', 'rename', 'close']) {
  t.test(`nothing is left of a fallback whose ${call} hangs, when the disk answers again`, async t => {
    const b2 = await startB2(t)
    const server = runOnHangingDisk(t, namedB2(b2))
    const service = { url: await server.url() }
    await server.hang(call)
    b2.fault({ status: 503, times: Infinity })
    isError(t, await put(service, bytes(2 * MIB)), 503, 'storage_unavailable')
    b2.clearFaults()
    await server.answer()
    await isEmpty(t, b2, server)
    const [stored] = await fallBack(t, b2, service, [KIB])
    t.equal(await contentOf(service, stored!.name), stored!.hash)
  })
}

t.test('in production, too, the service starts on a disk that hangs', async t => {
  const b2 = await startB2(t)
  const server = runOnHangingDisk(t, { ...namedB2(b2), NODE_ENV: 'production', HANGS_FROM_THE_START: '' })
  const service = { url: await server.url() }
  t.ok(server.lines.some(({ level, msg }) => level === 40 && /does not answer: no fallback until it does/.test(msg)))
  t.equal(await readiness(t, service), 'degraded')
  await isStoredInB2(t, b2, service, KIB)
  await server.answer()
  while (await readiness(t, service) !== 'ok') await wait(10)
  await fallBack(t, b2, service, [KIB])
})

t.test('a service whose disk hangs ends within its grace', async t => {
  const b2 = await startB2(t)
  const server = runOnHangingDisk(t, { ...namedB2(b2), SHUTDOWN_GRACE_MS: '200' })
  const service = { url: await server.url() }
  const [file] = await fallBack(t, b2, service, [KIB])
  await server.hang()
  const read = get(service, `/uploads/${file!.name}/content`).catch(() => {})
  t.equal(await readiness(t, service), 'degraded')
  server.child.kill('SIGTERM')
  t.equal(await server.exited, null)
  t.equal(server.child.signalCode, 'SIGTERM')
  await read
})
