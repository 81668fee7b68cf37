import type { FastifyInstance } from 'fastify'
import { AudioTagsSchema } from '../../services/audio/tags.ts'
import { FallbackReasonSchema, ReceiptSchema, StoredInB2Schema, StoredLocallySchema, TrackSchema } from '../../services/track.ts'
import { ErrorSchema } from './error-answer.ts'

const SCHEMAS = [AudioTagsSchema, TrackSchema, FallbackReasonSchema, StoredInB2Schema, StoredLocallySchema, ReceiptSchema, ErrorSchema]

/** Adds the schemas that the routes' own refer to, unless a scope around this one has done so. */
export function addSchemas (app: FastifyInstance): void {
  for (const schema of SCHEMAS) if (app.getSchema(schema.$id!) === undefined) app.addSchema(schema)
}
