import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator } from '../../emulator/index.ts'
import { uuidV7 } from '../fixtures/local-files.ts'
import { runOnHangingDisk } from '../support/disk/hanging-disk.ts'
import { CALM, KIB, MIB } from '../support/promotion/promotion.ts'
import { isError } from '../support/clients/raw-http.ts'
import { runServer } from '../support/service/server-process.ts'
import { b2Env, bytes, put, sha256, startB2 } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'
import { contentOf, get, isEmpty, nameOf, remove } from '../support/service/stored-files.ts'

type Service = Pick<TestService, 'url'>

/** B2 by a name that has to be resolved, as the real one's. */
function namedB2 (b2: B2Emulator): Record<string, string> {
  return { ...b2Env(b2), ...CALM, B2_ENDPOINT: b2.endpoint.replace('127.0.0.1', 'localhost') }
}

async function isStoredInB2 (t: Test, b2: B2Emulator, service: Service, size: number): Promise<void> {
  const content = bytes(size)
  const { status, body } = await put(service, content)
  t.match({ status, body }, { status: 201, body: { storage: 'b2' } })
  t.equal(sha256(b2.read(body.track.key)!), sha256(content))
}

/** `GET /ready`, which is answered within two seconds whatever the disk does. */
async function readiness (t: Test, service: Service): Promise<string> {
  const asked = performance.now()
  const { body } = await get(service, '/ready')
  t.ok(performance.now() - asked < 2_000, 'in time')
  t.equal(body.local.writable, body.status === 'ok')
  return body.status
}

/** Files that fell back. */
async function fallBack (t: Test, b2: B2Emulator, service: Service, sizes: readonly number[]) {
  const down = b2.fault({ operation: ['PutObject', 'CreateMultipartUpload'], status: 503, times: Infinity })
  const files = await Promise.all(sizes.map(async size => {
    const content = bytes(size)
    const { body } = await put(service, content)
    t.equal(body.storage, 'local')
    return { name: nameOf(body.track.key), hash: sha256(content) }
  }))
  down.cancel()
  return files
}

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

t.test('a disk that hangs takes local storage away, until it answers again', async t => {
  const b2 = await startB2(t)
  const server = runOnHangingDisk(t, namedB2(b2))
  const service = { url: await server.url() }
  const files = await fallBack(t, b2, service, [KIB, 6 * MIB, KIB, KIB, KIB, KIB])
  await server.hang()
  const reads = files.map(async ({ name }) => await get(service, `/uploads/${name}/content`))
  t.equal(await readiness(t, service), 'degraded')
  await isStoredInB2(t, b2, service, 12 * MIB)
  t.equal(await readiness(t, service), 'degraded')
  b2.fault({ status: 503, times: Infinity })
  const failed = await put(service, bytes(KIB))
  isError(t, failed, 503, 'storage_unavailable')
  t.match(failed.body.detail, /B2: service_unavailable .*; local storage: io_error \(The file could not be stored locally: the disk or file system hangs, /)
  for (const read of reads) isError(t, await read, 503, 'storage_unavailable')
  isError(t, await remove(service, files[0]!.name), 503, 'storage_unavailable')
  t.equal(await readiness(t, service), 'degraded')
  b2.clearFaults()
  await isStoredInB2(t, b2, service, KIB)

  await server.answer()
  while (await readiness(t, service) !== 'ok') await wait(10)
  for (const { name, hash } of files.slice(1)) {
    // Reads that hung return one by one: until then there may be no place for another one.
    let found: string | number
    while ((found = await contentOf(service, name)) === 503) await wait(10)
    t.equal(found, hash)
  }
  const [again] = await fallBack(t, b2, service, [12 * MIB])
  t.equal(await contentOf(service, again!.name), again!.hash)
  t.same(server.lines.filter(({ msg }) => /nobody caught/.test(msg)), [])
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
