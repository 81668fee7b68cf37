import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { AudioTagsSchema } from './audio-tags.ts'
import { B2_ERROR_CODES } from './b2/error-codes.ts'

/** What is known of a stored file. */
export const TrackSchema = Type.Object({
  id: Type.String({ format: 'uuid', description: 'UUID version 7, the one in the key.' }),
  key: Type.String({ description: 'Name of the file in either store; it never changes.' }),
  filename: Type.String({ description: 'The client\'s name for the file, without folders.' }),
  content_type: Type.String({ description: 'Found from the first bytes; else what the client declared; else application/octet-stream.' }),
  size_bytes: Type.Integer({ minimum: 0 }),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Hex, of the bytes stored.' }),
  uploaded_at: Type.String({ format: 'date-time' }),
  metadata: Type.Record(Type.String(), Type.String(), { description: 'The text fields of the form.' }),
  audio: Type.Union([AudioTagsSchema, Type.Null()], { description: 'What the file\'s own tags and headers say, or null.' }),
})

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
  error_code: Type.Union(B2_ERROR_CODES.map(code => Type.Literal(code))),
  detail: Type.String(),
})

export type FallbackReason = Static<typeof FallbackReasonSchema>

const stored = { location: Type.String({ description: 'The B2 key, or the path below the local directory.' }), track: TrackSchema }

/** The answer to an upload: where the file is, truthfully, and what it is. */
export const ReceiptSchema = Type.Union([
  Type.Object({ storage: Type.Literal('b2'), ...stored }, { title: 'Stored in B2' }),
  Type.Object({
    storage: Type.Literal('local'),
    ...stored,
    fallback_from_b2: Type.Optional(Type.Literal(true)),
    fallback_reason: Type.Optional(FallbackReasonSchema),
  }, { title: 'Stored locally' }),
])

export type Receipt = Static<typeof ReceiptSchema>
