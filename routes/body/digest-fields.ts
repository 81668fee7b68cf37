import { parseDictionary } from 'structured-headers'
import { UploadError } from '../../services/upload-errors.ts'

/** Of RFC 9530. Both are of the same bytes here, as a file is taken whole and without a content coding. */
const FIELDS = ['Repr-Digest', 'Content-Digest']
const ALGORITHM = 'sha-256'
const SHA256_BYTES = 32

/** A header section or a trailer section, by lower-case names. */
export type Fields = Readonly<Record<string, string | string[] | undefined>>

/** A sha256 in hex as `Repr-Digest` has it. */
export function reprDigest (sha256: string): string {
  return inField(Buffer.from(sha256, 'hex'))
}

/**
 * Whether a file is the one whose digests its client sent, in headers or trailers. Other algorithms are ignored.
 * @param sha256 hex, of what came
 * @throws {UploadError} `digest_mismatch`; `invalid_request` as {@link assertDigestFields}
 */
export function assertDigests (sha256: string, ...sections: Fields[]): void {
  const came = Buffer.from(sha256, 'hex')
  for (const { field, digest } of sections.flatMap(digestsIn)) {
    if (!came.equals(digest)) throw new UploadError('digest_mismatch', `${field} is ${inField(digest)}, but the file that came has ${inField(came)}.`)
  }
}

/** @throws {UploadError} `invalid_request` if digests can't be read */
export function assertDigestFields (fields: Fields): void {
  digestsIn(fields)
}

/** The sha256 (hex) in `Repr-Digest`, if there is one. @throws {UploadError} `invalid_request` if it can't be read */
export function reprSha256 (fields: Fields): string | undefined {
  return digestsIn(fields).find(({ field }) => field === 'Repr-Digest')?.digest.toString('hex')
}

function digestsIn (fields: Fields): { field: string, digest: Buffer }[] {
  return FIELDS.flatMap(field => {
    const value = fields[field.toLowerCase()]
    if (value === undefined) return []
    const digest = read(field, String(value)).get(ALGORITHM)?.[0]
    if (digest === undefined) return []
    if (digest instanceof ArrayBuffer && digest.byteLength === SHA256_BYTES) return [{ field, digest: Buffer.from(digest) }]
    throw unreadable(`The sha-256 in ${field} is not a byte sequence of ${SHA256_BYTES} bytes.`)
  })
}

function read (field: string, value: string): ReturnType<typeof parseDictionary> {
  try {
    return parseDictionary(value)
  } catch (cause) {
    throw unreadable(`${field} is not a dictionary of structured fields. ${(cause as Error).message}.`, cause)
  }
}

function unreadable (detail: string, cause?: unknown): UploadError {
  return new UploadError('invalid_request', detail, {
    cause,
    hints: ['Send the sha256 of the file in base64 between two colons, as RFC 9530 has it: Repr-Digest: sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:'],
  })
}

function inField (digest: Buffer): string {
  return `${ALGORITHM}=:${digest.toString('base64')}:`
}
