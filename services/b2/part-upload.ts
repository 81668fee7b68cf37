import { Readable } from 'node:stream'
import { Upload } from '@aws-sdk/lib-storage'
import type { Options } from '@aws-sdk/lib-storage'
import type { PartFeed } from './part-feed.ts'

type Worker = (feeder: AsyncIterable<unknown>) => Promise<void>

/**
 * True where lib-storage has the worker function that {@link partUpload} feeds. It is no public API: the package's
 * version is pinned, and where the shape differs all works through the public path, at the cost of a copy of each part.
 */
export function feedsWorkersDirectly (): boolean {
  const worker = (Upload.prototype as unknown as { __doConcurrentUpload?: Worker }).__doConcurrentUpload
  return typeof worker === 'function' && worker.length === 1
}

/**
 * An `Upload` whose parts come from `feed`. lib-storage cuts a stream into parts by concatenating every one anew; the
 * feed's parts have the right size already, so its workers get them as they are.
 */
export function partUpload (options: Omit<Options, 'params'> & { params: Omit<Options['params'], 'Body'> }, feed: PartFeed, direct = feedsWorkersDirectly()): Upload {
  const upload = new Upload({ ...options, params: { ...options.params, Body: Readable.from(feed.bytes()) } })
  if (direct) {
    const worker = (upload as unknown as { __doConcurrentUpload: Worker }).__doConcurrentUpload
    Object.assign(upload, { __doConcurrentUpload: () => worker.call(upload, feed.numbered()) })
  }
  return upload
}
