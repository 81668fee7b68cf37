import type { Test } from 'tap'
import { BOUNDARY } from '../forms/forms.ts'
import { begin } from './leaving-client.ts'
import type { Method } from './leaving-client.ts'
import { put, startService } from '../service/service.ts'
import type { TestService } from '../service/service.ts'

const MIB = 1_048_576
/** Bytes of a file of which all is read after the refusal. */
export const SMALL = 8 * MIB
/** Bytes of a file in whose middle the connection is closed. */
export const LARGE = 80 * MIB
// Longer than any test: what makes a service refuse has to last.
const LONG_MS = '3600000'
const KEY = 'a-key-that-is-long-enough'
const AUTHORIZATION: Record<string, string> = { authorization: `Bearer ${KEY}` }

/** An upload of 3 MiB or more that the service refuses while it is being sent. */
export interface Refusal {
  readonly name: string
  readonly service: TestService
  readonly method: Method
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly status: number
  readonly code: string
  /** Whether the service has to see the first 64 KiB of the file to know. */
  readonly looksAtBytes: boolean
}

interface Kind {
  readonly name: string
  readonly service: TestService
  readonly status: number
  readonly code: string
  readonly headers?: Record<string, string>
  readonly methods?: readonly Method[]
  readonly looksAtBytes?: boolean
  readonly type?: string
}

/** How large the files are that it is tried with: each kind of refusal that is given before the bytes once, and what takes longer. */
export const sizesOf = ({ code, looksAtBytes }: Refusal): number[] => code === 'unauthorized' || looksAtBytes ? [SMALL, LARGE] : [SMALL]

export const isForm = ({ headers }: Refusal): boolean => headers['content-type']!.startsWith('multipart/')

/** Whoever makes a form chooses its boundary. */
export function headersOf (refusal: Refusal): Record<string, string> {
  const { 'content-type': type, ...others } = refusal.headers
  return isForm(refusal) ? others : { ...others, 'content-type': type! }
}

/** One refusal of each kind, on each route that can give it; the services end with the test. */
export async function startRefusals (t: Test): Promise<Refusal[]> {
  const [strict, narrow, limited, full, closing, storeless] = await Promise.all([
    startService(t, { API_KEYS: KEY, UPLOAD_ALLOWED_TYPES: 'audio/*' }),
    startService(t, { UPLOAD_MAX_BYTES: String(MIB) }),
    startService(t, { RATE_LIMIT_MAX: '1', RATE_LIMIT_WINDOW_MS: LONG_MS }),
    startService(t, { UPLOAD_MAX_CONCURRENT: '1', UPLOAD_IDLE_TIMEOUT_MS: LONG_MS }),
    startService(t, { SHUTDOWN_GRACE_MS: LONG_MS, UPLOAD_IDLE_TIMEOUT_MS: LONG_MS }),
    startService(t, { LOCAL_MIN_FREE_BYTES: String(2 ** 52) }),
  ])
  await put(limited, Buffer.from('the one of this minute'))
  for (const service of [full, closing]) {
    const holder = await begin(service, 'PUT', Buffer.alloc(10))
    t.teardown(() => { holder.destroy() })
  }
  closing.app.close().catch(() => {})

  const kinds: Kind[] = [
    { name: 'without a key', service: strict, status: 401, code: 'unauthorized' },
    { name: 'too large by its Content-Length', service: narrow, status: 413, code: 'file_too_large' },
    { name: 'no form', service: strict, headers: AUTHORIZATION, methods: ['POST'], type: 'application/json', status: 415, code: 'unsupported_media_type' },
    { name: 'of a type that is not allowed', service: strict, headers: AUTHORIZATION, status: 415, code: 'unsupported_media_type', looksAtBytes: true },
    { name: 'beyond the rate limit', service: limited, status: 429, code: 'too_many_requests' },
    { name: 'beyond UPLOAD_MAX_CONCURRENT', service: full, status: 503, code: 'overloaded' },
    { name: 'during shutdown', service: closing, status: 503, code: 'shutting_down' },
    { name: 'without a store', service: storeless, status: 503, code: 'storage_unavailable', looksAtBytes: true },
  ]
  return kinds.flatMap(({ methods = ['PUT', 'POST'], headers = {}, type, looksAtBytes = false, ...kind }) => methods.map(method => ({
    ...kind,
    name: `${method} ${kind.name}: ${kind.status} ${kind.code}`,
    method,
    path: method === 'PUT' ? '/uploads/a.bin' : '/uploads',
    headers: { ...headers, 'content-type': type ?? (method === 'PUT' ? 'application/octet-stream' : `multipart/form-data; boundary=${BOUNDARY}`) },
    looksAtBytes,
  })))
}
