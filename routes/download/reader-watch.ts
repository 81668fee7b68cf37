import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import { handedOver, unacknowledgedBytes } from '../../services/b2/line/send-queues.ts'

// Looks rather than time are counted, so that a busy process does not take its own pause for a reader's.
const LOOKS_PER_PERIOD = 8

/** Notices readers that take nothing. */
export interface ReaderWatch {
  /** Calls `onIdle` once the client has taken nothing of the answer for the time. Returns what ends the watch. */
  watch (raw: ServerResponse, onIdle: () => void): () => void
}

interface Reader {
  /** Whether there are bytes that the reader could take: if there are none, it waits for us. */
  readonly hasMore: () => boolean
  /** Grows while the reader takes something. */
  readonly taken: () => number
  /** Undefined in HTTP/2, whose connection carries others' answers, too. */
  readonly socket: Socket | undefined
  readonly onIdle: () => void
  lastTaken: number
  lastQueued: number | undefined
  quietLooks: number
}

/** One timer looks at all readers, and there is none while nobody reads. */
export function createReaderWatch (idleTimeoutMs: number): ReaderWatch {
  const readers = new Set<Reader>()
  let timer: NodeJS.Timeout | undefined

  function stop (reader: Reader): void {
    readers.delete(reader)
    if (readers.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  async function look (reader: Reader): Promise<void> {
    const taken = reader.taken()
    let moves = taken !== reader.lastTaken || !reader.hasMore()
    reader.lastTaken = taken
    // What the kernel took for a slow reader may last it for minutes: then its queue tells.
    if (moves) {
      reader.lastQueued = undefined
    } else if (reader.socket !== undefined) {
      const queued = await unacknowledgedBytes(reader.socket)
      moves = queued !== undefined && reader.lastQueued !== undefined && queued < reader.lastQueued
      reader.lastQueued = queued
    }
    reader.quietLooks = moves ? 0 : reader.quietLooks + 1
    if (reader.quietLooks < LOOKS_PER_PERIOD || !readers.has(reader)) return
    stop(reader)
    reader.onIdle()
  }

  function lookAtAll (): void {
    // The queues are read for all at once; without them what the kernel took is all that is known.
    for (const reader of readers) look(reader).catch(() => {})
  }

  return {
    watch (raw, onIdle) {
      const source = takenBy(raw)
      if (source === undefined) return () => {}
      const reader: Reader = { ...source, onIdle, lastTaken: source.taken(), lastQueued: undefined, quietLooks: 0 }
      readers.add(reader)
      timer ??= setInterval(lookAtAll, idleTimeoutMs / LOOKS_PER_PERIOD).unref()
      return () => stop(reader)
    },
  }
}

/** How to see what a client takes; undefined if there is no connection (a host's `inject()`). */
function takenBy (raw: ServerResponse): Pick<Reader, 'taken' | 'hasMore' | 'socket'> | undefined {
  const { stream } = raw as unknown as Partial<Http2ServerResponse>
  if (stream !== undefined) {
    let drains = 0
    // Node writes the next chunk when the last one has left within the client's window.
    stream.on('drain', () => { drains++ })
    return { taken: () => drains, hasMore: () => stream.writableLength > 0, socket: undefined }
  }
  const { socket } = raw
  if (typeof socket?.bytesWritten !== 'number') return undefined
  return { taken: () => handedOver(socket), hasMore: () => socket.writableLength > 0, socket }
}
