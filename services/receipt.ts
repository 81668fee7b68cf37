import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { AudioTags } from './audio/tags.ts'
import { B2_ERROR_CODES } from './b2/error-codes.ts'
import { stringEnum } from './config/string-enum.ts'

// The ids are those of shared schemas in a Fastify app, which may have its own.

/** A schema by its id, typed as what it describes. */
function ref<Described> (id: string) {
  return Type.Unsafe<Described>({ $ref: `${id}#` })
}

/** What is known of a stored file. */
export const TrackSchema = Type.Object({
  id: Type.String({ format: 'uuid', description: 'UUID version 7, or 8 if an Idempotency-Key came: the one in the key.' }),
  key: Type.String({ description: 'Name of the file in either store; it never changes.' }),
  filename: Type.String({ description: 'The client\'s name for the file, without folders.' }),
  content_type: Type.String({ description: 'Found from the first bytes; else what the client declared; else application/octet-stream.' }),
  size_bytes: Type.Integer({ minimum: 0, description: 'Of the bytes stored.' }),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Hex, of the bytes stored.' }),
  uploaded_at: Type.String({ format: 'date-time', description: 'When the whole file had come, UTC.' }),
  metadata: Type.Record(Type.String(), Type.String(), { description: 'The text fields of the form.' }),
  audio: Type.Union([ref<AudioTags>('B2UploadsAudioTags'), Type.Null()], { description: 'What the file\'s own tags and headers say, or null.' }),
}, { $id: 'B2UploadsTrack', description: 'What is known of a stored file.' })

/** What is known of a stored file. @interface */
export type Track = Static<typeof TrackSchema>

const TEXTS = ['id', 'key', 'filename', 'content_type', 'sha256', 'uploaded_at'] as const

/** True for what was stored as a track, though perhaps by another version of the service. */
export function isTrack (value: unknown): value is Track {
  if (typeof value !== 'object' || value === null) return false
  const track = value as Partial<Record<keyof Track, unknown>>
  return TEXTS.every(name => typeof track[name] === 'string') && Number.isSafeInteger(track.size_bytes) &&
    typeof track.metadata === 'object' && track.metadata !== null && typeof track.audio === 'object'
}

/** Why a file did not go to B2. */
export const FallbackReasonSchema = Type.Object({
  error_code: stringEnum(B2_ERROR_CODES, 'Stable: for programs.'),
  detail: Type.String({ description: 'One sentence.' }),
}, { $id: 'B2UploadsFallbackReason', description: 'Why a file did not go to B2.' })

/** Why a file did not go to B2. @interface */
export type FallbackReason = Static<typeof FallbackReasonSchema>

const track = ref<Track>('B2UploadsTrack')

/** The receipt of a file in B2. */
export const StoredInB2Schema = Type.Object({
  storage: Type.Literal('b2', { description: 'Which store has the file.' }),
  location: Type.String({ description: 'The key in B2.' }),
  track,
}, { $id: 'B2UploadsStoredInB2', description: 'The receipt of a file that is in B2.' })

/** The receipt of a file in local storage. */
export const StoredLocallySchema = Type.Object({
  storage: Type.Literal('local', { description: 'Which store has the file.' }),
  location: Type.String({ description: 'The path of the file: the local directory and the key.' }),
  fallback_from_b2: Type.Optional(Type.Literal(true, { description: 'The file was meant for B2. Absent if the service has no B2.' })),
  fallback_reason: Type.Optional(ref<FallbackReason>('B2UploadsFallbackReason')),
  track,
}, { $id: 'B2UploadsStoredLocally', description: 'The receipt of a file that is in local storage, until it is moved to B2.' })

/** How many bytes of a split file are where. */
export const SplitBytesSchema = Type.Object({
  b2_bytes: Type.Integer({ minimum: 0, description: 'Bytes that B2 has, as parts of an unfinished multipart upload.' }),
  local_bytes: Type.Integer({ minimum: 0, description: 'Bytes that local storage has.' }),
}, { $id: 'B2UploadsSplitBytes', description: 'How many bytes of a split file are where. Their sum is `size_bytes`.' })

/** How many bytes of a split file are where. @interface */
export type SplitBytes = Static<typeof SplitBytesSchema>

/** The receipt of a file that is in both stores. */
export const StoredSplitSchema = Type.Object({
  storage: Type.Literal('split', { description: 'B2 has acknowledged some parts, and local storage has the others.' }),
  location: Type.String({ description: 'The key under which B2 will have the file.' }),
  fallback_from_b2: Type.Literal(true, { description: 'The file was meant for B2.' }),
  fallback_reason: ref<FallbackReason>('B2UploadsFallbackReason'),
  split: ref<SplitBytes>('B2UploadsSplitBytes'),
  track,
}, {
  $id: 'B2UploadsStoredSplit',
  description: 'The receipt of a file of which B2 has some parts and local storage the others, until they are joined in B2. It can be read from then on.',
})

/** The receipt of a file in B2. @interface */
export type StoredInB2 = Static<typeof StoredInB2Schema>

/** The receipt of a file in local storage. @interface */
export type StoredLocally = Static<typeof StoredLocallySchema>

/** The receipt of a file that is in both stores. @interface */
export type StoredSplit = Static<typeof StoredSplitSchema>

/** Where a file is, and what it is: the body of the answer to its upload. `storage` tells which of the three it is. */
export type Receipt = StoredInB2 | StoredLocally | StoredSplit

/** Why a file is not wholly in B2; undefined if it is, or if there is no B2. */
export function fallbackReason (receipt: Receipt): FallbackReason | undefined {
  return receipt.storage === 'b2' ? undefined : receipt.fallback_reason
}

/** Where a whole file is, and what it is. */
export const StoredWholeSchema = Type.Unsafe<StoredInB2 | StoredLocally>({
  $id: 'B2UploadsStoredWhole',
  description: 'Where the file is, and what it is; `storage` tells which of the two it is.',
  oneOf: [ref('B2UploadsStoredInB2'), ref('B2UploadsStoredLocally')],
})

/** Where a file is, truthfully, and what it is. */
export const ReceiptSchema = Type.Unsafe<Receipt>({
  $id: 'B2UploadsReceipt',
  description: 'Where the file is, and what it is; `storage` tells which of the three it is.',
  oneOf: [ref('B2UploadsStoredInB2'), ref('B2UploadsStoredLocally'), ref('B2UploadsStoredSplit')],
})
