import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const number = Type.Integer({ minimum: 1 })

const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })

const ManifestSchema = Type.Object({
  upload_id: Type.String({ minLength: 1 }),
  part_bytes: Type.Integer({ minimum: 1 }),
  b2_parts: Type.Array(Type.Object({ number, etag: Type.String({ minLength: 1 }) })),
  local_parts: Type.Array(Type.Object({ number, bytes: Type.Integer({ minimum: 1 }), sha256 })),
  b2_tail: Type.Optional(Type.Object({ key: Type.String({ minLength: 1 }), bytes: Type.Integer({ minimum: 1 }), sha256 })),
})

/**
 * What it takes to join a split file: the unfinished multipart upload (`upload_id`), the bytes of every part but the last
 * (`part_bytes`), the parts that B2 has acknowledged (`b2_parts`), and those that are in the local rest, in their order there
 * (`local_parts`). `b2_tail` is an object with the beginning of the first part that B2 has not: of that one, local storage has what follows.
 */
export type SplitManifest = Static<typeof ManifestSchema>

/** Whether `value` says where each byte of a file of `size` bytes is. */
export function isManifest (value: unknown, size: number): value is SplitManifest {
  if (!Value.Check(ManifestSchema, value)) return false
  const count = Math.ceil(size / value.part_bytes)
  const numbers = new Set([...value.b2_parts, ...value.local_parts].map(part => part.number))
  return numbers.size === value.b2_parts.length + value.local_parts.length && numbers.size === count && Math.max(...numbers) === count &&
    value.local_parts.every((part, index) => tailBytes(value, index) + part.bytes === bytesOfPart(value, part.number, size)) &&
    (value.b2_tail === undefined || value.local_parts.length > 0)
}

/** Bytes of one part of a file of `size` bytes. */
export function bytesOfPart ({ part_bytes }: Pick<SplitManifest, 'part_bytes'>, number: number, size: number): number {
  return Math.min(part_bytes, size - (number - 1) * part_bytes)
}

/** Bytes of a local part that an object in B2 has. @param index among the local parts */
export function tailBytes ({ b2_tail: tail }: Pick<SplitManifest, 'b2_tail'>, index: number): number {
  return index === 0 ? tail?.bytes ?? 0 : 0
}

/** What the keys of the objects begin with that B2 has of the file beside its parts; undefined if it has none. */
export function objectsBelow ({ b2_tail: tail }: Pick<SplitManifest, 'b2_tail'>): string | undefined {
  return tail?.key.slice(0, tail.key.lastIndexOf('/') + 1)
}
