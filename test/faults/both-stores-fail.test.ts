import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import t from 'tap'
import type { Answer, TestService } from '../support/service/service.ts'
import { b2Env, bytes, inB2, put, settledFiles, sha256, startB2, startService } from '../support/service/service.ts'
import { KIB, MIB, settled } from '../support/faults/fault-matrix.ts'
import type { Test } from 'tap'

const NO_ROOM = { LOCAL_MIN_FREE_BYTES: String(2 ** 52) }

function checkUnavailable (t: Test, { status, headers, body }: Answer, b2Code: string, localCode: string): void {
  t.match({ status, body }, {
    status: 503,
    body: {
      error_code: 'storage_unavailable',
      error: 'Neither store could take the file.',
      detail: new RegExp(`^B2: ${b2Code} \\(.+\\); local storage: ${localCode} \\(.+\\)$`),
      correlation_id: headers.get('x-correlation-id'),
    },
  }, JSON.stringify(body))
  t.equal(headers.get('retry-after'), '10')
  t.ok(body.hints.length > 0)
}

function checkOneLine (t: Test, service: TestService, correlationId: string): void {
  const own = service.log.lines.filter(line => line['correlation_id'] === correlationId)
  // The receipt of a file of several parts is an object of its own, which fails beside it.
  const told = own.filter(({ event }) => event !== undefined && event !== 'b2.receipt_failed')
  t.match(told, [{ event: 'b2.failed' }, { event: 'upload.failed', error_code: 'storage_unavailable', level: 50 }])
  t.equal(told.length, 2)
}

for (const size of [100 * KIB, 6 * MIB, 14 * MIB]) {
  t.test(`B2 is down and the local directory is gone for ${size} bytes; either one coming back is enough`, async t => {
    const b2 = await startB2(t)
    const service = await startService(t, {
      ...b2Env(b2), B2_PART_BYTES: String(5 * MIB), REPLAY_WINDOW_BYTES: String(16 * MIB), B2_MAX_ATTEMPTS: '2', B2_STALL_TIMEOUT_MS: '10000', BREAKER_THRESHOLD: '3',
    })
    const content = bytes(size)
    await b2.refuseConnections()
    await rm(service.dir, { recursive: true })
    await writeFile(service.dir, 'no directory any more')

    const failed = await put(service, content)
    checkUnavailable(t, failed, 'network_error', 'io_error')
    t.notMatch(JSON.stringify(failed.body), service.dir, 'the answer does not tell the path')
    checkOneLine(t, service, failed.body.correlation_id)

    await rm(service.dir)
    await mkdir(service.dir)
    const local = await put(service, content)
    t.match(local, { status: 201, body: { storage: 'local', fallback_reason: { error_code: 'network_error' } } })
    t.equal(sha256(await readFile(local.body.location)), sha256(content))

    await rm(service.dir, { recursive: true })
    await writeFile(service.dir, 'and gone again')
    await b2.acceptConnections()
    const stored = await put(service, content)
    t.match(stored, { status: 201, body: { storage: 'b2' } })
    t.match(inB2(b2).files, [{ sha256: sha256(content) }])
    t.equal(inB2(b2).files.length, 1)
  })
}

for (const { at, fault } of [
  { at: 'the first request', fault: { operation: 'CreateMultipartUpload', status: 503 } },
  { at: 'a part', fault: { operation: 'UploadPart', part: 2, status: 503 } },
  { at: 'Complete', fault: { operation: 'CompleteMultipartUpload', status: 503 } },
] as const) {
  t.test(`no room on the disk and a busy B2 at ${at}: nothing is left`, async t => {
    const b2 = await startB2(t)
    const service = await startService(t, { ...b2Env(b2), ...NO_ROOM, B2_MAX_ATTEMPTS: '2', B2_PART_BYTES: String(5 * MIB), B2_STALL_TIMEOUT_MS: '10000' })
    const handle = b2.fault({ ...fault, times: Infinity })
    const failed = await put(service, bytes(6 * MIB))
    checkUnavailable(t, failed, 'service_unavailable', 'disk_full')
    checkOneLine(t, service, failed.body.correlation_id)
    await settled(b2, () => b2.unfinishedUploads().length === 0 && b2.versions().length === 0)
    t.same(await settledFiles(service), [])

    handle.cancel()
    const content = bytes(6 * MIB)
    t.match(await put(service, content), { status: 201, body: { storage: 'b2' } })
    t.match(inB2(b2).files, [{ sha256: sha256(content) }])
  })
}

for (const [size, operation] of [[100 * KIB, 'PutObject'], [6 * MIB, 'CompleteMultipartUpload']] as const) {
  t.test(`what ${operation} stored without telling is removed, as the client was told that nothing is stored`, async t => {
    const b2 = await startB2(t)
    const service = await startService(t, { ...b2Env(b2), ...NO_ROOM, B2_MAX_ATTEMPTS: '2', B2_PART_BYTES: String(5 * MIB), B2_STALL_TIMEOUT_MS: '10000' })
    b2.fault({ operation, action: 'lose-answer', times: Infinity })
    b2.fault({ operation: 'HeadObject', status: 503, times: Infinity })
    const stored = b2.waitFor('applied', request => request.operation === operation)
    checkUnavailable(t, await put(service, bytes(size)), 'network_error', 'disk_full')
    await stored
    await settled(b2, () => b2.versions().length === 0 && b2.unfinishedUploads().length === 0)
    t.same(await settledFiles(service), [])
  })
}

t.test('what is stored in spite of an answer that says that something failed is removed, too', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...NO_ROOM, B2_MAX_ATTEMPTS: '2', B2_PART_BYTES: String(5 * MIB), B2_STALL_TIMEOUT_MS: '10000', BREAKER_THRESHOLD: '0' })
  for (const [size, operation] of [[100 * KIB, 'PutObject'], [6 * MIB, 'CompleteMultipartUpload']] as const) {
    for (const status of [500, 502, 504]) {
      const faults = [b2.fault({ operation, key: /\.bin$/, status, apply: true }), b2.fault({ operation, key: /\.bin$/, status: 503 })]
      checkUnavailable(t, await put(service, bytes(size)), '(service_unavailable|timeout)', 'disk_full')
      await settled(b2, () => b2.versions().length === 0 && b2.unfinishedUploads().length === 0)
      t.same(await settledFiles(service), [])
      for (const fault of faults) fault.cancel()
    }
  }
})

t.test('the open circuit gives both codes, too', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...NO_ROOM, B2_STALL_TIMEOUT_MS: '10000' })
  b2.fault({ status: 403, code: 'InvalidAccessKeyId', times: Infinity })
  checkUnavailable(t, await put(service, bytes(1)), 'auth_error', 'disk_full')
  const { length } = b2.requests
  checkUnavailable(t, await put(service, bytes(1)), 'auth_error', 'disk_full')
  t.equal(b2.requests.length, length)
  t.equal((await fetch(`${service.url}/health`)).status, 200)
})
