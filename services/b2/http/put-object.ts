import type { PutObjectCommandInput, S3Client } from '@aws-sdk/client-s3'
import type { HttpResponse } from '@smithy/core/protocols'
import type { Movement } from '../line/movement.ts'
import { ABORT_SIGNAL, EARLIER, MOVEMENT, NEW_CONNECTION, TURN } from './request-handler.ts'
import type { B2RequestHandler, HandlerWishes } from './request-handler.ts'
import type { Signer } from './signature.ts'

export interface PutObjectOptions {
  readonly config: S3Client['config']
  readonly bucket: string
  readonly region: string
  readonly endpoint: string
  readonly forcePathStyle: boolean
  readonly handler: B2RequestHandler
  readonly signer: Signer
  /** See the client's. */
  readonly hashes: WeakMap<Uint8Array, string>
}

/** B2's answer to an object that it has stored. */
export interface PutObjectAnswer {
  readonly ETag?: string
  readonly VersionId?: string
  readonly $metadata: { readonly httpStatusCode: number, readonly attempts: number }
}

// What is sent on the way below. Anything else is the SDK's.
const KNOWN_INPUT: ReadonlySet<string> = new Set(['Bucket', 'Key', 'ContentType', 'Metadata', 'Body'])

/**
 * Sends PutObject without the SDK's layers, which cost more than all else that the service does for a small file. This is a way for the first try
 * alone: if it fails, the SDK gets what came of it as its own first try, so that retries, the clock and errors are the same for all requests.
 */
export class PutObject {
  readonly #options: PutObjectOptions
  readonly #url: URL
  /** Of the bucket, without a slash at its end; undefined if only the SDK knows what it makes of such a URL. */
  readonly #path: string | undefined

  constructor (options: PutObjectOptions) {
    this.#options = options
    const { endpoint: Endpoint, region: Region, bucket: Bucket, forcePathStyle: ForcePathStyle, config } = options
    this.#url = config.endpointProvider({ Endpoint, Region, Bucket, ForcePathStyle, UseFIPS: false, UseDualStack: false }).url
    const { pathname } = this.#url
    this.#path = pathname === '/' ? '' : pathname.endsWith('/') ? undefined : pathname
  }

  /** @returns undefined if the SDK has to go on with `input`, as this is not a request of the usual shape, or B2 did not store it. */
  async send (input: PutObjectCommandInput & HandlerWishes, movement: Movement, signal: AbortSignal): Promise<PutObjectAnswer | undefined> {
    const body = input.Body
    const { handler, hashes, bucket } = this.#options
    const hash = body instanceof Uint8Array ? hashes.get(body) : undefined
    if (hash === undefined || this.#path === undefined || input.Bucket !== bucket || Object.keys(input).some(name => !KNOWN_INPUT.has(name))) return undefined
    const size = (body as Uint8Array).byteLength
    const turn = size === 0 ? undefined : await movement.take(size, signal)
    let isStored = false
    try {
      const request = { ...this.#request(input, hash, size), [ABORT_SIGNAL]: signal, [NEW_CONNECTION]: input[NEW_CONNECTION], [MOVEMENT]: movement, [TURN]: turn }
      const answered = handler.handle(request as never)
      const status = await answered.then(({ response }) => response.statusCode, () => 0)
      isStored = status >= 200 && status < 300
      if (isStored) return answerOf((await answered).response)
      input[EARLIER] = { answered, isTaken: false }
      return undefined
    } finally {
      if (turn !== undefined) movement.end(turn, isStored)
    }
  }

  #request (input: PutObjectCommandInput, hash: string, size: number) {
    const { protocol, hostname, port, host } = this.#url
    const headers: Record<string, string> = {
      host,
      'user-agent': 'fastify-b2-uploads',
      'content-type': input.ContentType ?? 'application/octet-stream',
      'content-length': String(size),
      'x-amz-content-sha256': hash,
    }
    for (const name in input.Metadata) headers[`x-amz-meta-${name.toLowerCase()}`] = input.Metadata[name]!
    const path = `${this.#path!}/${input.Key!.split('/').map(encode).join('/')}`
    this.#options.signer.sign({ method: 'PUT', path, headers }, new Date(Date.now() + this.#options.config.systemClockOffset))
    return { protocol, hostname, port: port === '' ? undefined : Number(port), method: 'PUT', path, query: {}, headers, body: input.Body }
  }
}

function answerOf ({ headers, statusCode }: HttpResponse): PutObjectAnswer {
  const { etag, 'x-amz-version-id': versionId } = headers
  return { ...(etag === undefined ? {} : { ETag: etag }), ...(versionId === undefined ? {} : { VersionId: versionId }), $metadata: { httpStatusCode: statusCode, attempts: 1 } }
}

/** Percent-encodes all but the unreserved characters of RFC 3986. */
function encode (text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}
