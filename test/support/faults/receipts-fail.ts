import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator, Fault } from '../../../emulator/index.ts'
import { settled } from './fault-matrix.ts'
import { b2Env, bytes, post, settledFiles, sha256, startB2, startService } from '../service/service.ts'
import type { TestService } from '../service/service.ts'

export const MIB = 1_048_576
export const COMPANION = /\.receipt\.json$/
export const NO_ROOM = { LOCAL_MIN_FREE_BYTES: String(2 ** 50) }

export async function setUp (t: Test, env: Record<string, string> = {}): Promise<{ b2: B2Emulator, service: TestService }> {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_MAX_ATTEMPTS: '2', B2_PART_BYTES: String(5 * MIB), PROMOTE_INTERVAL_MS: '0', ...env })
  return { b2, service }
}

export function receiptsFailOf ({ size, fields }: { readonly size: number, readonly fields: Record<string, string> }): void {
  t.test(`a receipt that B2 does not take is kept locally, ${size} bytes`, async t => {
    const { b2, service } = await setUp(t)
    const content = bytes(size)
    for (const fault of [{ status: 503 }, { status: 403 }, { action: 'reset' }] satisfies Fault[]) {
      b2.fault({ operation: 'PutObject', key: COMPANION, times: Infinity, ...fault })
      const { status, headers, body } = await post(service, content, 'song.mp3', { after: fields })
      t.match({ status, ...body }, { status: 201, storage: 'b2', fallback_from_b2: undefined })
      t.match(b2.versions(), [{ key: body.location, sha256: sha256(content) }])
      t.same(await service.localFiles(), [`${body.location}.receipt.json`])
      t.same(JSON.parse(await readFile(join(service.dir, `${body.location}.receipt.json`), 'utf8')), { ...body, correlation_id: headers.get('x-correlation-id') })
      t.equal((await service.app.uploads.status()).b2.state, 'closed', 'B2 took the file')
      b2.reset()
      await rm(join(service.dir, 'tracks'), { recursive: true })
    }
  })

  t.test(`a receipt that B2 took without saying so is there once, ${size} bytes`, async t => {
    const { b2, service } = await setUp(t)
    const lost = b2.fault({ operation: 'PutObject', key: COMPANION, action: 'lose-answer', times: Infinity })
    const silent = b2.fault({ operation: 'HeadObject', key: COMPANION, status: 503, times: Infinity })
    const { body } = await post(service, bytes(size), 'song.mp3', { after: fields })
    t.same(await service.localFiles(), [`${body.location}.receipt.json`])
    lost.cancel()
    silent.cancel()
    t.match(await service.app.uploads.promote(), { promoted: 1, pending: 0 })
    await settled(b2, () => b2.versions().length === 2)
    t.same(b2.versions().map(({ key }) => key), [body.location, `${body.location}.receipt.json`])
    t.same(await settledFiles(service), [])
  })

  t.test(`a receipt that nobody takes is no upload, ${size} bytes`, async t => {
    const { b2, service } = await setUp(t)
    await rm(service.dir, { recursive: true })
    await writeFile(service.dir, 'no directory')
    const refusing = b2.fault({ operation: 'PutObject', key: COMPANION, times: Infinity, status: 503 })
    const stored = b2.waitFor('applied', ({ operation }) => operation === 'CompleteMultipartUpload' || operation === 'PutObject')
    const failed = await post(service, bytes(size), 'song.mp3', { after: fields })
    t.match(failed, { status: 503, body: { error_code: 'storage_unavailable', detail: /^B2: service_unavailable .*; local storage: io_error / } })
    await stored
    // As long as the disk can't tell whether it has something of the file, B2's may be all there is of it.
    await rm(service.dir)
    await mkdir(service.dir)
    await settled(b2, () => b2.versions().length === 0)
    refusing.cancel()
    t.match(await post(service, bytes(size), 'song.mp3', { after: fields }), { status: 201, body: { storage: 'b2' } })
  })

  t.test(`no receipt stays in B2 of a file that neither store took, ${size} bytes`, async t => {
    const { b2, service } = await setUp(t, { ...NO_ROOM, BREAKER_THRESHOLD: '0' })
    const isFile = (key: string): boolean => !COMPANION.test(key)
    for (const late of [false, true]) {
      b2.fault({ operation: ['CompleteMultipartUpload', 'PutObject'], key: isFile, status: 403 })
      if (late) b2.fault({ operation: 'PutObject', key: COMPANION, bytesPerSecond: 1_000 })
      const stored = b2.waitFor('applied', ({ key }) => key !== undefined && COMPANION.test(key))
      const failed = await post(service, bytes(size), 'song.mp3', { after: fields })
      t.match(failed, { status: 503, body: { error_code: 'storage_unavailable' } })
      await stored
      await settled(b2, () => b2.versions().length === 0 && b2.unfinishedUploads().length === 0)
      b2.reset()
    }
  })
}
