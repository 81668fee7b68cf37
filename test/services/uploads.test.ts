import { Readable } from 'node:stream'
import t from 'tap'
import type { Test } from 'tap'
import { withDefaults } from '../../services/config/options.ts'
import { createLocalStore } from '../../services/local/store.ts'
import type { LocalStore } from '../../services/local/store.ts'
import type { Log } from '../../services/log.ts'
import { silentLog } from '../../services/log.ts'
import { createUploads } from '../../services/uploads.ts'
import type { UploadService, UploadsOptions } from '../../services/uploads.ts'
import { bytes } from '../support/run/bytes.ts'
import { fakeClock } from '../support/run/fake-clock.ts'
import { ScriptedB2, UNAVAILABLE } from '../support/b2/scripted-b2.ts'

const MIB = 1_048_576
const PART = 2 * MIB
const REASON = { error_code: 'service_unavailable', detail: 'B2 is unavailable' }

interface Stage {
  readonly uploads: UploadService
  readonly b2: ScriptedB2
  readonly local: LocalStore
  readonly lines: Record<string, unknown>[]
}

function setStage (t: Test, { hasB2 = true, ...options }: Partial<UploadsOptions> & { hasB2?: boolean } = {}): Stage {
  const b2 = new ScriptedB2(PART)
  const local = createLocalStore({ dir: t.testdir() })
  const lines: Stage['lines'] = []
  const write = (level: string) => (fields: object): void => { lines.push({ level, ...fields }) }
  const log: Log = { info: write('info'), warn: write('warn'), error: write('error') }
  const uploads = createUploads(withDefaults('', { b2: hasB2 ? b2.store : undefined, local, log, promoteIntervalMs: 0, ...options }))
  t.teardown(async () => {
    await uploads.close()
    await local.close()
  })
  return { uploads, b2, local, lines }
}

const source = (size = 10): Readable => Readable.from([bytes(size)])

t.test('options that can\'t work are refused, with what to give instead', async t => {
  const local = createLocalStore({ dir: t.testdir() })
  const make = (options: Partial<UploadsOptions>): UploadService => createUploads(withDefaults('', { b2: undefined, local, log: silentLog, promoteIntervalMs: 0, ...options }))
  const b2 = new ScriptedB2(PART).store
  t.throws(() => make({ keyPrefix: '/a' }), { name: 'TypeError', message: /keyPrefix must be a relative prefix/ })
  t.throws(() => make({ windowBytes: 5 * MIB, memoryBudgetBytes: 7 * MIB - 1 }), { name: 'TypeError', message: `fastify-b2-uploads: the option memoryBudgetBytes must be at least windowBytes and two parts: ${7 * MIB}` })
  t.throws(() => make({ b2, windowBytes: 5 * MIB, memoryBudgetBytes: 9 * MIB - 1 }), { message: new RegExp(`two parts: ${9 * MIB}$`) })
  t.throws(() => make({ memoryBudgetBytes: 34 * MIB - 1 }), { message: new RegExp(`two parts: ${34 * MIB}$`) })
  t.equal(make({ windowBytes: 5 * MIB, memoryBudgetBytes: 7 * MIB }).budgetBytes, 7 * MIB)
  t.equal(make({ b2, windowBytes: 5 * MIB, memoryBudgetBytes: 9 * MIB }).budgetBytes, 9 * MIB)
  t.equal(make({}).budgetBytes, 256 * MIB)
})

t.test('without B2 it says so, and nothing waits for promotion', async t => {
  const { uploads, lines } = setStage(t, { hasB2: false })
  const { track } = await uploads.store(source())
  t.match(track, { key: new RegExp(`^tracks/${track.id}$`), filename: 'file', metadata: {} })
  t.match(await uploads.status(), {
    b2: { state: 'disabled', last_error: null, accepting: false },
    local: { writable: true },
    pending_promotions: 0,
    accepting: true,
  })
  t.match(lines, [{ event: 'upload.stored', correlation_id: /^[0-9a-f]{8}-[0-9a-f]{4}-7/ }])
  t.equal(lines.length, 1, 'and nothing else happened, as nobody asked to be told')
  t.same([uploads.inFlight, uploads.heldBytes], [0, 0])
})

t.test('what an app says of a file goes with it, and a size that it exceeds is an error', async t => {
  const { uploads, b2, lines } = setStage(t, { keyPrefix: 'a/b-' })
  const metadata = { by: 'host' }
  const { storage, track } = await uploads.store(source(), { filename: 'Song.flac', contentType: 'audio/flac', metadata, size: 10, correlationId: 'own' })
  t.match({ storage, ...track }, { storage: 'b2', key: `a/b-${track.id}.flac`, filename: 'Song.flac', content_type: 'audio/flac', metadata })
  t.match(b2.puts[0]!.object.context, { correlationId: 'own' })
  t.match(lines, [{ event: 'upload.stored', correlation_id: 'own' }])
  const much = source(11)
  await t.rejects(uploads.store(much, { size: 10 }), { name: 'UploadError', error_code: 'malformed_upload' })
  t.ok(much.destroyed)
  await t.rejects(uploads.store('text' as never), TypeError)
  t.equal((await uploads.status()).pending_promotions, 0)
})

t.test('limits are those that were given', async t => {
  const { uploads } = setStage(t, { maxBytes: 1_000, maxConcurrent: 1, allowedTypes: ['text/plain'] })
  t.equal((await uploads.store(source(1_000), { contentType: 'text/plain' })).track.size_bytes, 1_000)
  await t.rejects(uploads.store(source(1_001), { contentType: 'text/plain' }), { name: 'UploadError', error_code: 'file_too_large' })
  await t.rejects(uploads.store(source()), { name: 'UploadError', error_code: 'unsupported_media_type' })
  const waiting = new Readable({ read () {} })
  const first = uploads.store(waiting, { contentType: 'text/plain' })
  t.equal(uploads.inFlight, 1)
  await t.rejects(uploads.store(source()), { name: 'UploadError', error_code: 'overloaded' })
  waiting.push(null)
  await first
})

t.test('by default five failures in a row open the circuit for thirty seconds, which is logged, and a success closes it', async t => {
  const clock = fakeClock(t)
  const { uploads, b2, lines } = setStage(t)
  b2.onPut = async () => UNAVAILABLE
  const circuit = (): unknown[] => lines.filter(({ event }) => String(event).startsWith('breaker.')).map(({ message, ...line }) => line)
  for (let count = 1; count <= 5; count++) {
    t.same(circuit(), [])
    await uploads.store(source(), { correlationId: `upload ${count}` })
  }
  const open = { level: 'warn', event: 'breaker.open', correlation_id: 'upload 5', ...REASON }
  t.same(circuit(), [open])
  t.match(await uploads.status(), { b2: { state: 'open', last_error: REASON, accepting: false }, pending_promotions: 5 })
  b2.onPut = async () => ({ ok: true, key: '', firstTry: true })
  clock.advance(29_999)
  t.match(await uploads.store(source(), { size: 10 }), { storage: 'local' })
  t.equal(b2.cleanups, 0)
  clock.advance(1)
  t.equal((await uploads.status()).b2.accepting, true)
  t.match(await uploads.store(source(), { size: 10, correlationId: 'probe' }), { storage: 'b2' })
  t.same(circuit(), [open, { level: 'info', event: 'breaker.half_open', correlation_id: 'probe' }, { level: 'info', event: 'breaker.closed', correlation_id: 'probe' }])
  t.equal(b2.cleanups, 1, 'what is to be removed is worked off')
  t.match(await uploads.status(), { b2: { state: 'closed', last_error: null, accepting: true }, pending_promotions: 6 })
})

t.test('the circuit is as it was ordered', async t => {
  const { uploads, b2 } = setStage(t, { breakerThreshold: 1, breakerResetMs: 0 })
  b2.onPut = async () => UNAVAILABLE
  await uploads.store(source())
  t.match(await uploads.status(), { b2: { state: 'open', accepting: true } })
})

t.test('the host is told of each file, and nothing comes in once it is closed', async t => {
  const told: unknown[] = []
  const { uploads } = setStage(t, { onStored: receipt => { told.push(receipt) } })
  const receipt = await uploads.store(source())
  t.same(told, [receipt])
  await uploads.close()
  t.equal((await uploads.status()).accepting, false)
  await t.rejects(uploads.store(source()), { name: 'UploadError', error_code: 'shutting_down' })
})
