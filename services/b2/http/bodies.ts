import type http from 'node:http'

// A TLS socket would hold a whole part that it gets at once a second time, encrypted.
const SLICE_BYTES = 262_144 // 256 KiB
const LARGEST_ANSWER_BYTES = 4_194_304 // 4 MiB

/** Ends the request with this body; `onLast` is called right before its last bytes are written. */
export function writeInSlices (req: http.ClientRequest, body: Uint8Array | string | undefined, onLast: () => void): void {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  if (bytes === undefined || bytes.byteLength === 0) {
    onLast()
    req.end()
    return
  }
  let offset = 0
  const write = (): void => {
    while (!req.destroyed) {
      const slice = bytes.subarray(offset, offset + SLICE_BYTES)
      offset += slice.byteLength
      if (offset >= bytes.byteLength) {
        onLast()
        req.end(slice)
        return
      }
      if (!req.write(slice)) {
        req.once('drain', write)
        return
      }
    }
  }
  write()
}

/** Reads an answer to its end, with a bound. */
export function readWhole (answer: http.IncomingMessage, onEnd: (bytes: Uint8Array) => void, onError: (error: Error) => void): void {
  const chunks: Buffer[] = []
  let length = 0
  answer.on('data', (chunk: Buffer) => {
    length += chunk.byteLength
    if (length > LARGEST_ANSWER_BYTES) answer.destroy(new Error('the answer is too large'))
    else chunks.push(chunk)
  })
  answer.once('end', () => onEnd(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
  answer.once('error', onError)
}

/** The document alone: XML may not begin with white space before its declaration. */
export function withoutLeadingSpace (bytes: Uint8Array): Uint8Array {
  const start = bytes.findIndex(byte => byte > 0x20)
  return start === -1 ? new Uint8Array(0) : bytes.subarray(start)
}
