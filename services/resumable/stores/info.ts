import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const text = Type.String({ minLength: 1 })

const InfoSchema = Type.Object({
  key: text,
  id: text,
  filename: text,
  declared_type: Type.Optional(text),
  metadata: Type.Record(Type.String(), Type.Union([Type.String(), Type.Null()])),
  fields: Type.Record(Type.String(), Type.String()),
  length: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()]),
  part_bytes: Type.Integer({ minimum: 1 }),
  caller: Type.Union([Type.String(), Type.Null()]),
  created_at: text,
  correlation_id: text,
  sha256: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
  content_type: Type.Optional(text),
  upload_id: Type.Optional(text),
})

/**
 * What any process has to know to go on with a resumable upload: the later file (`key`, `id`, `filename`, `declared_type`, `fields`), its
 * `length` (null until it is told), `metadata` as the client gave it, who may go on (`caller`), the `sha256` that it must have, the bytes of every part but the last, and once
 * the first bytes have shown it the file's type and the multipart upload that has begun for it.
 */
export type ResumableInfo = Static<typeof InfoSchema>

/** The info in a text; undefined if it is damaged, or another upload's. */
export function parseInfo (text: string, key: string): ResumableInfo | undefined {
  const value = parseJson(text)
  return Value.Check(InfoSchema, value) && value.key === key ? value : undefined
}

export function parseJson (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Parts of the file; undefined until its length is known. An empty file has none. */
export function partCount ({ length, part_bytes: partBytes }: ResumableInfo): number | undefined {
  return length === null ? undefined : Math.ceil(length / partBytes)
}
