import type { B2Result, B2Store } from '../../../services/b2/store.ts'
import { PART } from './stage.ts'

export const INFO = { key: 'tracks/song.mp3', contentType: 'audio/mpeg', metadata: { filename: 'song.mp3' } }

export async function putParts (store: B2Store, content: Buffer, acknowledged: [number, boolean][] = []): Promise<B2Result> {
  const upload = store.begin(INFO, { onPartStored: (...part) => acknowledged.push(part), mayFallBack: () => true })
  for (let offset = 0; offset < content.byteLength; offset += PART) {
    await upload.push(content.subarray(offset, offset + PART), offset + PART >= content.byteLength)
  }
  return await upload.result
}
