import { createHash, createHmac } from 'node:crypto'

/** Who signs, and for which region. */
export interface SignerOptions {
  readonly applicationKeyId: string
  readonly applicationKey: string
  readonly region: string
}

/** What is signed of a request. Header names are in lower case; the path is percent-encoded; there is no query. */
export interface SignableRequest {
  readonly method: string
  readonly path: string
  /** With `host` and `x-amz-content-sha256`. {@link Signer.sign} adds `x-amz-date` and `authorization`. */
  readonly headers: Record<string, string>
}

// Proxies may change these.
const UNSIGNED: ReadonlySet<string> = new Set(['authorization', 'connection', 'user-agent'])

/**
 * Signs requests without a query by Signature Version 4 of AWS, in one step and without a promise.
 * See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
export class Signer {
  readonly #options: SignerOptions
  #day = ''
  #key: Buffer = Buffer.alloc(0)

  constructor (options: SignerOptions) {
    this.#options = options
  }

  /** Adds the headers that make up the signature. */
  sign ({ method, path, headers }: SignableRequest, now: Date): void {
    const time = now.toISOString().replace(/[-:]|\.\d{3}/g, '')
    const day = time.slice(0, 8)
    const { applicationKeyId, region } = this.#options
    headers['x-amz-date'] = time
    const names = Object.keys(headers).filter(name => !UNSIGNED.has(name)).sort()
    let lines = ''
    for (const name of names) lines += `${name}:${headers[name]!.trim().replace(/\s+/g, ' ')}\n`
    const signed = names.join(';')
    const canonical = `${method}\n${path}\n\n${lines}\n${signed}\n${headers['x-amz-content-sha256']!}`
    const scope = `${day}/${region}/s3/aws4_request`
    const hash = createHash('sha256').update(canonical).digest('hex')
    const signature = createHmac('sha256', this.#keyOf(day)).update(`AWS4-HMAC-SHA256\n${time}\n${scope}\n${hash}`).digest('hex')
    headers['authorization'] = `AWS4-HMAC-SHA256 Credential=${applicationKeyId}/${scope}, SignedHeaders=${signed}, Signature=${signature}`
  }

  /** The same for all requests of a day. */
  #keyOf (day: string): Buffer {
    if (day !== this.#day) {
      const { applicationKey, region } = this.#options
      this.#key = [day, region, 's3', 'aws4_request'].reduce<Buffer>((key, text) => createHmac('sha256', key).update(text).digest(), Buffer.from(`AWS4${applicationKey}`))
      this.#day = day
    }
    return this.#key
  }
}
