import type { B2Emulator } from '../../../emulator/index.ts'
import { filenameOf } from '../clients/client.ts'
import type { Moment } from '../script.ts'

/** Calls `act` once, when the moment comes; the function returned takes that back. */
export function atMoment (b2: B2Emulator, { event, operation, count }: Moment, act: () => void): () => void {
  let left = count
  const off = b2.on(event, record => {
    if (operation !== undefined && record.operation !== operation) return
    if (--left > 0) return
    off()
    act()
  })
  return off
}

/** The same at the first request for the file of an upload that can't be made before the whole file has come. */
export function whenGivenLast (b2: B2Emulator, id: string, act: () => void): () => void {
  let key: string | undefined
  const off = b2.on('request', request => {
    const isOwn = request.headers['x-amz-meta-filename'] === filenameOf(id)
    if (request.operation === 'CreateMultipartUpload' && isOwn) key = request.key
    const isLast = request.operation === 'PutObject' ? isOwn : request.operation === 'CompleteMultipartUpload' && request.key === key
    if (!isLast) return
    off()
    act()
  })
  return off
}
