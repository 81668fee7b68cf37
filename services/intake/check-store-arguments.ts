import { isIdempotencyKey } from '../keys.ts'

const isText = (value: unknown): boolean => value === undefined || typeof value === 'string'

/**
 * Checks what an app gives to be stored, of which nothing but types is known.
 * @throws {TypeError} naming what is wrong, and what to give instead
 */
export function checkStoreArguments (source: unknown, info: unknown): void {
  if (!isStream(source)) {
    throw new TypeError('fastify-b2-uploads: store() takes a Readable stream: use Readable.from() for buffers, strings and iterables, Readable.fromWeb() for web streams')
  }
  if (typeof info !== 'object' || info === null) throw bad('', 'an object')
  const { filename, contentType, correlationId, size, metadata, idempotencyKey } = info as Record<string, unknown>
  for (const [name, value] of Object.entries({ filename, contentType, correlationId })) if (!isText(value)) throw bad(`.${name}`, 'a text')
  if (size !== undefined && !(Number.isSafeInteger(size) && Number(size) >= 0)) throw bad('.size', 'a whole number of bytes')
  if (idempotencyKey !== undefined && !isIdempotencyKey(idempotencyKey)) throw bad('.idempotencyKey', 'a text of 1 to 255 printable ASCII characters')
  if (metadata === undefined) return
  if (typeof metadata !== 'object' || metadata === null || !Object.values(metadata).every(value => typeof value === 'string')) {
    throw bad('.metadata', 'an object whose values are texts')
  }
}

/** Also one of another copy of the class, such as that of the package readable-stream. */
function isStream (value: unknown): boolean {
  const { on, pause, resume, destroy } = Object(value) as Record<string, unknown>
  return [on, pause, resume, destroy].every(method => typeof method === 'function')
}

function bad (path: string, must: string): TypeError {
  return new TypeError(`fastify-b2-uploads: info${path} of store() must be ${must}`)
}
