import type { FastifyRequest } from 'fastify'
import { parseItem } from 'structured-headers'
import { isIdempotencyKey } from '../../services/keys.ts'
import { UploadError } from '../../services/upload-errors.ts'

const NAME = 'idempotency-key'

/**
 * The request's `Idempotency-Key`, if it has one: a string of structured fields, or the same without quotes.
 * @throws {UploadError} `invalid_request` if it can't be read
 */
export function idempotencyKeyOf ({ headers, raw }: FastifyRequest): string | undefined {
  const value = headers[NAME]
  if (value === undefined) return undefined
  // Node joins several, and what it makes of them could be a key.
  const count = (raw.rawHeaders ?? []).filter((name, index) => index % 2 === 0 && name.toLowerCase() === NAME).length
  if (count > 1) throw unreadable('The request has more than one Idempotency-Key.')
  const text = String(value)
  const key = text.startsWith('"') ? read(text) : text
  if (isIdempotencyKey(key)) return key
  throw unreadable('Idempotency-Key is not 1 to 255 printable ASCII characters.')
}

function read (text: string): unknown {
  try {
    return parseItem(text)[0]
  } catch (cause) {
    throw unreadable('Idempotency-Key begins with a quote, and is not a string of structured fields.', cause)
  }
}

function unreadable (detail: string, cause?: unknown): UploadError {
  return new UploadError('invalid_request', detail, { cause, hints: ['Send one key, such as a new UUID in quotes: Idempotency-Key: "8e03978e-40d5-43dd-bc93-6894a57f9324"'] })
}
