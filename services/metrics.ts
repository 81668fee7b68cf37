import { Counter, Gauge, Histogram } from 'prom-client'
import type { Registry } from 'prom-client'
import { B2_ERROR_CODES } from './b2/error-codes.ts'
import type { Observer } from './observer.ts'
import { fallbackReason } from './receipt.ts'
import { UPLOAD_ERROR_CODES } from './upload-errors.ts'
import type { UploadService, Uploads, UploadsStatus } from './uploads.ts'

/** A registry of prom-client, of any version: only what is needed of it. */
export interface MetricsRegistry {
  /** Adds one. */
  registerMetric (metric: any): void
  /** Finds one. */
  getSingleMetric (name: string): unknown
  /** Takes one out. */
  removeSingleMetric (name: string): void
}

/** Where to count and measure. */
export interface MetricsOptions {
  /** Takes the metrics: prom-client's `register`, or another `Registry`. They leave it when the app closes. */
  readonly registry: MetricsRegistry
  /** Put before each name, for an app that has two of them in one registry. Default none. */
  readonly prefix?: string | undefined
}

/** The metrics of one `Uploads`. */
export interface Metrics {
  /** Counts. */
  readonly observer: Observer
  /** Adds what is measured at each scrape. */
  watch (uploads: Uploads & { readonly downloads: Pick<UploadService['downloads'], 'inFlight'>, readonly resumables: { readonly count: number } | undefined }): void
  /** Takes all of them out of the registry. */
  close (): void
}

const STORAGES = ['b2', 'local', 'split'] as const
const CIRCUIT_STATES: readonly UploadsStatus['b2']['state'][] = ['closed', 'open', 'half_open', 'disabled']
const DOWNLOAD_RESULTS = ['served', 'failed', 'aborted', 'stalled'] as const
const DELETE_RESULTS = ['deleted', 'failed'] as const
const PROMOTION_RESULTS = ['promoted', 'failed', 'set_aside'] as const
/** Seconds: from a small file nearby to 1 GiB over a slow line. */
const DURATION_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800]

/**
 * Metrics for Prometheus. All label sets are bounded, and every counter is there with 0 from the start, so that the first
 * failure is an increase, too.
 *
 * @throws {TypeError} where the registry has one of the names already
 */
export function createMetrics ({ registry, prefix = '' }: MetricsOptions): Metrics {
  const names: string[] = []

  /** What all metrics are made from. */
  function common <Label extends string> (name: string, help: string, labelNames: readonly Label[] = []) {
    const full = `${prefix}${name}`
    if (registry.getSingleMetric(full) !== undefined) {
      throw new TypeError(`fastify-b2-uploads: metrics.registry has a metric "${full}" already: set metrics.prefix, or give it a registry of its own`)
    }
    names.push(full)
    return { name: full, help, labelNames, registers: [registry as unknown as Registry] }
  }

  function counter <Label extends string> (name: string, help: string, labels: ReadonlyArray<Record<Label, string>>): Counter<Label> {
    const created = new Counter(common(name, help, Object.keys(labels[0]!) as Label[]))
    for (const each of labels) created.inc(each, 0)
    return created
  }

  function gauge <Label extends string = never> (name: string, help: string, collect: (gauge: Gauge<Label>) => unknown, labelNames: readonly Label[] = []): void {
    const created: Gauge<Label> = new Gauge<Label>({ ...common(name, help, labelNames), collect: async () => { await collect(created) } })
  }

  const uploads = counter('uploads_total', 'Uploads that ended, by the storage that has the file (none: it was not stored) and how they ended.', [
    ...STORAGES.map(storage => ({ storage, result: 'stored' })),
    { storage: 'none', result: 'failed' },
    { storage: 'none', result: 'aborted' },
  ])
  const replays = counter('upload_replays_total', 'Uploads that were answered with the receipt of the file that had come with the same Idempotency-Key before.', [{}])
  const errors = counter('upload_errors_total', 'Uploads that were not stored, by the error that they were answered with.', UPLOAD_ERROR_CODES.map(error_code => ({ error_code })))
  const bytes = counter('upload_bytes_total', 'Bytes of the files that were stored.', STORAGES.map(storage => ({ storage })))
  const fallbacks = counter('upload_fallbacks_total', 'Files that went to local storage, wholly or in part, since B2 failed, by why it failed.', B2_ERROR_CODES.map(error_code => ({ error_code })))
  const b2Errors = counter('b2_errors_total', 'Failures of B2 after all tries, whatever was asked of it.', B2_ERROR_CODES.map(error_code => ({ error_code })))
  const downloads = counter('downloads_total', 'Content requests that ended, by the storage that had the file (none: it was not found out) and how they ended.', [
    ...STORAGES.flatMap(storage => DOWNLOAD_RESULTS.map(result => ({ storage, result }))),
    { storage: 'none', result: 'failed' },
    { storage: 'none', result: 'aborted' },
  ])
  const deletes = counter('deletes_total', 'Deletions that ended, by how.', DELETE_RESULTS.map(result => ({ result })))
  const refused = counter('requests_refused_total', 'Requests about files (uploads, reads, deletions) that were answered with an error, by the error.', UPLOAD_ERROR_CODES.map(error_code => ({ error_code })))
  const promotions = counter('promotions_total', 'Tries to move a file from local storage to B2, by how they ended.', PROMOTION_RESULTS.map(result => ({ result })))
  const broken = counter('split_files_broken_total', 'Split files whose parts in B2 are gone: they can\'t be joined, and were set aside.', [{}])
  const duration = new Histogram({ ...common('upload_duration_seconds', 'Time from the beginning of an upload until its file was stored.', ['storage']), buckets: DURATION_BUCKETS })
  for (const storage of STORAGES) duration.zero({ storage })

  return {
    observer: {
      stored (receipt, seconds) {
        const { storage } = receipt
        uploads.inc({ storage, result: 'stored' })
        bytes.inc({ storage }, receipt.track.size_bytes)
        duration.observe({ storage }, seconds)
        const reason = fallbackReason(receipt)
        if (reason !== undefined) fallbacks.inc({ error_code: reason.error_code })
      },
      failed (error_code) {
        uploads.inc({ storage: 'none', result: 'failed' })
        errors.inc({ error_code })
      },
      replayed: () => replays.inc(),
      aborted: () => uploads.inc({ storage: 'none', result: 'aborted' }),
      b2Failed: error_code => b2Errors.inc({ error_code }),
      refused: error_code => refused.inc({ error_code }),
      downloaded: (storage, result) => downloads.inc({ storage, result }),
      deleted: result => deletes.inc({ result }),
      promotionEnded: result => promotions.inc({ result }),
      partsGone: () => broken.inc(),
    },

    watch (watched) {
      gauge('uploads_in_flight', 'Uploads under way.', own => own.set(watched.inFlight))
      gauge('downloads_in_flight', 'Content requests under way.', own => own.set(watched.downloads.inFlight))
      gauge('upload_memory_held_bytes', 'Bytes that uploads and promotions hold in memory.', own => own.set(watched.heldBytes))
      gauge('upload_memory_committed_bytes', 'Bytes that uploads and promotions hold in memory, and what uploads will take within ten seconds at their present rates.', own => own.set(watched.committedBytes))
      gauge('uploads_waiting', 'Uploads and promotions that wait for memory.', own => own.set(watched.waitingForMemory))
      gauge('upload_memory_budget_bytes', 'Bound on the bytes that uploads and promotions hold in memory.', own => own.set(watched.budgetBytes))
      gauge('b2_circuit_state', 'The circuit breaker: 1 for its present state, 0 for the others; disabled where there is no B2.', async own => {
        const { b2 } = await watched.status()
        for (const state of CIRCUIT_STATES) own.set({ state }, state === b2.state ? 1 : 0)
      }, ['state'])
      gauge('promotions_pending', 'Files in local storage that are to be moved to B2, those set aside included.', own => own.set(watched.waiting.files))
      gauge('promotions_pending_bytes', 'Bytes in local storage that are to be sent to B2.', own => own.set(watched.waiting.bytes))
      gauge('promotions_oldest_seconds', 'Time since the oldest of the files that are to be moved to B2 was uploaded; 0 if there is none.', own => own.set(watched.waiting.oldestSeconds))
      gauge('promotions_scan_complete', 'Whether all files that are to be moved to B2 have been counted: 1, or 0 until the first scan has ended, when the numbers are what was counted so far.', own => own.set(watched.waiting.isCounted ? 1 : 0))
      gauge('resumable_uploads', 'Unfinished resumable uploads that this instance knows.', own => own.set(watched.resumables?.count ?? 0))
      gauge('local_storage_writable', 'Whether local storage could take a file: 1 or 0.', async own => own.set((await watched.status()).local.writable ? 1 : 0))
      gauge('local_storage_free_bytes', 'Bytes free in local storage.', async own => own.set((await watched.status()).local.free_bytes))
      gauge('local_storage_free_inodes', 'Files that local storage can still take, by the inodes free on its disk; +Inf if there is no such limit.', async own => own.set((await watched.status()).local.free_inodes))
    },

    close () {
      for (const name of names) registry.removeSingleMetric(name)
    },
  }
}
