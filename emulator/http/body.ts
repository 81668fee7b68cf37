import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Pacer } from '../faults/pace.ts'
import type { Content } from '../store.ts'

/** Chunks of a body up to this size are joined, so that small objects don't pin the larger buffers they arrived in. */
const COMPACT_BYTES = 1_048_576 // 1 MiB

export interface ReceiveOptions {
  pacer: Pacer
  /** False for a body that is only read to its end, such as that of a refused request. */
  keep: boolean
  /** Position at which reading stops, so that the rest backs up in the sockets. */
  stopAt?: number | undefined
  onBytes: (bytes: number) => void
}

/** `whole`: up to its end; `stopped`: at `stopAt`; `vanished`: the client went away before its last byte. */
export type Received =
  | { end: 'whole', content: Content }
  | { end: 'stopped' | 'vanished' }

function nextEvent (request: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    const events = ['readable', 'end', 'error', 'close']
    const done = () => {
      for (const event of events) request.off(event, done)
      resolve()
    }
    for (const event of events) request.on(event, done)
  })
}

/** Reads a request's body, with its MD5 (its ETag) computed while it arrives. Never rejects. */
export async function receiveBody (request: IncomingMessage, { pacer, keep, stopAt = Infinity, onBytes }: ReceiveOptions): Promise<Received> {
  const md5 = createHash('md5')
  const chunks: Buffer[] = []
  let size = 0

  while (size < stopAt) {
    const chunk = request.read() as Buffer | null
    if (chunk === null) {
      if (request.readableEnded) return { end: 'whole', content: finish() }
      if (request.destroyed) return { end: 'vanished' }
      await nextEvent(request)
      continue
    }
    if (keep) {
      chunks.push(chunk)
      md5.update(chunk)
    }
    if (!await pass(chunk.length)) return { end: 'vanished' }
  }
  return { end: 'stopped' }

  async function pass (bytes: number): Promise<boolean> {
    const end = size + bytes
    while (size < end && size < stopAt) {
      const slice = Math.min(pacer.sliceBytes(), end - size, stopAt - size)
      size += slice
      onBytes(slice)
      if (!await pacer.passed(slice)) return false
    }
    return true
  }

  function finish (): Content {
    return {
      chunks: size <= COMPACT_BYTES ? [Buffer.concat(chunks)] : chunks,
      size,
      md5: md5.digest('hex'),
      sha256: undefined,
    }
  }
}
