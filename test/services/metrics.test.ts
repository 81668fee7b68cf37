import { Registry } from 'prom-client'
import t from 'tap'
import { B2_ERROR_CODES } from '../../services/b2/error-codes.ts'
import { createMetrics } from '../../services/metrics.ts'
import type { Receipt, Track } from '../../services/receipt.ts'
import { UPLOAD_ERROR_CODES } from '../../services/upload-errors.ts'
import type { UploadService, Uploads, UploadsStatus } from '../../services/uploads.ts'
import { samplesOf } from '../support/service/metrics.ts'

const BUCKETS = ['0.05', '0.1', '0.25', '0.5', '1', '2.5', '5', '10', '30', '60', '120', '300', '600', '1800', '+Inf']
const STORAGES = ['b2', 'local', 'split']

/** Every sample of the counters, 0 where `counts` doesn't say otherwise. */
function counters (counts: Record<string, number> = {}): Record<string, number> {
  const names = [
    ...['b2",result="stored', 'local",result="stored', 'split",result="stored', 'none",result="failed', 'none",result="aborted'].map(labels => `uploads_total{storage="${labels}"}`),
    'upload_replays_total',
    ...UPLOAD_ERROR_CODES.map(code => `upload_errors_total{error_code="${code}"}`),
    ...STORAGES.map(storage => `upload_bytes_total{storage="${storage}"}`),
    ...B2_ERROR_CODES.flatMap(code => ['upload_fallbacks_total', 'b2_errors_total'].map(name => `${name}{error_code="${code}"}`)),
    ...STORAGES.flatMap(storage => ['served', 'failed', 'aborted', 'stalled'].map(result => `downloads_total{storage="${storage}",result="${result}"}`)),
    ...['failed', 'aborted'].map(result => `downloads_total{storage="none",result="${result}"}`),
    ...['deleted', 'failed'].map(result => `deletes_total{result="${result}"}`),
    ...UPLOAD_ERROR_CODES.map(code => `requests_refused_total{error_code="${code}"}`),
    ...['promoted', 'failed', 'set_aside'].map(result => `promotions_total{result="${result}"}`),
    'split_files_broken_total',
    ...STORAGES.flatMap(storage => [
      ...BUCKETS.map(le => `upload_duration_seconds_bucket{le="${le}",storage="${storage}"}`),
      `upload_duration_seconds_sum{storage="${storage}"}`,
      `upload_duration_seconds_count{storage="${storage}"}`,
    ]),
  ]
  return { ...Object.fromEntries(names.map(name => [name, 0])), ...counts }
}

async function samplesIn (registry: Registry): Promise<Record<string, number>> {
  return Object.fromEntries(samplesOf(await registry.metrics()))
}

function receiptOf (size_bytes: number, rest: Partial<Receipt> = {}): Receipt {
  return { storage: 'b2', location: 'a', track: { size_bytes } as Track, ...rest } as Receipt
}

function uploadsWith (status: UploadsStatus, held: Partial<Pick<UploadService, 'resumables'> & Uploads> = {}): UploadService {
  return { inFlight: 0, heldBytes: 0, committedBytes: 0, waitingForMemory: 0, budgetBytes: 0, downloads: { inFlight: 7 }, ...held, status: async () => status } as UploadService
}

t.test('all counters are there with 0, and nothing else before anything is watched', async t => {
  const registry = new Registry()
  createMetrics({ registry })
  t.same(await samplesIn(registry), counters())
})

t.test('each of them counts what it says', async t => {
  const registry = new Registry()
  const { observer } = createMetrics({ registry })
  observer.stored(receiptOf(1_000), 0.3)
  observer.stored(receiptOf(20), 2_000)
  observer.stored(receiptOf(7, { storage: 'local' }), 0.05)
  observer.stored(receiptOf(5, { storage: 'local', fallback_from_b2: true, fallback_reason: { error_code: 'timeout', detail: 'It took too long' } }), 0.06)
  for (const code of ['file_too_large', 'file_too_large', 'overloaded'] as const) observer.failed(code)
  observer.aborted()
  observer.replayed()
  for (const code of ['timeout', 'timeout', 'auth_error'] as const) observer.b2Failed(code)
  observer.downloaded('b2', 'served')
  observer.downloaded('local', 'stalled')
  observer.downloaded('none', 'failed')
  for (const result of ['deleted', 'deleted', 'failed'] as const) observer.deleted(result)
  observer.refused('not_found')
  for (const result of ['promoted', 'promoted', 'promoted', 'failed', 'failed', 'set_aside'] as const) observer.promotionEnded(result)

  const within = (storage: string, counts: number[]): Record<string, number> => Object.fromEntries(counts.map((count, index) => [`upload_duration_seconds_bucket{le="${BUCKETS[index]!}",storage="${storage}"}`, count]))
  t.same(await samplesIn(registry), counters({
    'uploads_total{storage="b2",result="stored"}': 2,
    'uploads_total{storage="local",result="stored"}': 2,
    'uploads_total{storage="none",result="failed"}': 3,
    'uploads_total{storage="none",result="aborted"}': 1,
    upload_replays_total: 1,
    'upload_errors_total{error_code="file_too_large"}': 2,
    'upload_errors_total{error_code="overloaded"}': 1,
    'upload_bytes_total{storage="b2"}': 1_020,
    'upload_bytes_total{storage="local"}': 12,
    'upload_fallbacks_total{error_code="timeout"}': 1,
    'b2_errors_total{error_code="timeout"}': 2,
    'b2_errors_total{error_code="auth_error"}': 1,
    'downloads_total{storage="b2",result="served"}': 1,
    'downloads_total{storage="local",result="stalled"}': 1,
    'downloads_total{storage="none",result="failed"}': 1,
    'deletes_total{result="deleted"}': 2,
    'deletes_total{result="failed"}': 1,
    'requests_refused_total{error_code="not_found"}': 1,
    'promotions_total{result="promoted"}': 3,
    'promotions_total{result="failed"}': 2,
    'promotions_total{result="set_aside"}': 1,
    ...within('b2', [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]),
    'upload_duration_seconds_sum{storage="b2"}': 2_000.3,
    'upload_duration_seconds_count{storage="b2"}': 2,
    ...within('local', [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]),
    'upload_duration_seconds_sum{storage="local"}': 0.11,
    'upload_duration_seconds_count{storage="local"}': 2,
  }))
})

t.test('what is watched is measured at each scrape', async t => {
  const registry = new Registry()
  const { watch } = createMetrics({ registry, prefix: 'own_' })
  const status: UploadsStatus = {
    b2: { state: 'half_open', last_error: null, accepting: true },
    local: { writable: true, free_bytes: 5_000, free_inodes: Infinity },
    pending_promotions: 3,
    accepting: true,
  }
  let now = status
  watch({ ...uploadsWith(status, { inFlight: 2, heldBytes: 30, committedBytes: 50, waitingForMemory: 4, budgetBytes: 400, resumables: { count: 500 } as UploadService['resumables'], waiting: { files: 3, bytes: 600, oldestSeconds: 70, isCounted: true } }), status: async () => now })
  const gauges = async (): Promise<Record<string, number>> => Object.fromEntries(Object.entries(await samplesIn(registry)).filter(([name]) =>
    !Object.hasOwn(counters(), name.replace('own_', ''))))
  const circuit = (state: string): Record<string, number> => Object.fromEntries(['closed', 'open', 'half_open', 'disabled'].map(each => [`own_b2_circuit_state{state="${each}"}`, each === state ? 1 : 0]))
  const measured = {
    own_uploads_in_flight: 2,
    own_downloads_in_flight: 7,
    own_upload_memory_held_bytes: 30,
    own_upload_memory_committed_bytes: 50,
    own_uploads_waiting: 4,
    own_resumable_uploads: 500,
    own_upload_memory_budget_bytes: 400,
    ...circuit('half_open'),
    own_promotions_pending: 3,
    own_promotions_pending_bytes: 600,
    own_promotions_oldest_seconds: 70,
    own_promotions_scan_complete: 1,
    own_local_storage_writable: 1,
    own_local_storage_free_bytes: 5_000,
    own_local_storage_free_inodes: Infinity,
  }
  t.same(await gauges(), measured)
  for (const state of ['closed', 'open', 'disabled'] as const) {
    now = { ...status, b2: { ...status.b2, state }, local: { ...status.local, writable: false } }
    t.same(await gauges(), { ...measured, ...circuit(state), own_local_storage_writable: 0 })
  }
})

t.test('they say what they are, leave the registry when they close, and share it only under other names', async t => {
  const registry = new Registry()
  const metrics = createMetrics({ registry })
  const other = createMetrics({ registry, prefix: 'other_' })
  metrics.watch(uploadsWith({} as UploadsStatus))
  for (const { help, name } of registry.getMetricsAsArray()) t.match(help, /^[A-Z].*\.$/, name)
  t.throws(() => createMetrics({ registry }), { name: 'TypeError', message: /metrics\.registry has a metric "uploads_total" already: set metrics\.prefix, or give it a registry of its own$/ })
  metrics.close()
  t.ok(registry.getMetricsAsArray().every(({ name }) => name.startsWith('other_')))
  other.close()
  t.same(registry.getMetricsAsArray(), [])
})
