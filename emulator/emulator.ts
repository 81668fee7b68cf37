import type { Fault, FaultHandle } from './faults/faults.ts'
import type { EmulatorEvent, EmulatorListener, RequestRecord } from './journal.ts'
import type { Throttle } from './http/exchange.ts'

export interface B2EmulatorOptions {
  /** Address to listen on. Default 127.0.0.1. */
  host?: string
  /** Port to listen on. Default 0: any free one. */
  port?: number
  /** Name of the only bucket. Default 'emulated-bucket'. */
  bucket?: string
  /** Region that requests must be signed for. Default 'us-west-004'. */
  region?: string
  /** The only application key id accepted. Default: one in B2's form, 25 characters. */
  applicationKeyId?: string
  /** Its secret. Default: one in B2's form, 31 characters. */
  applicationKey?: string
  /**
   * What the key may do, in B2's words: readFiles, writeFiles, deleteFiles, listFiles, listBuckets. Default: all of them.
   * Requests beyond that get 403 AccessDenied "not entitled".
   */
  capabilities?: string[]
  /** Object names the key is restricted to begin with this. Default: no restriction. */
  namePrefix?: string
  /** PEM key and certificate; with them the emulator speaks HTTPS. */
  tls?: { key: string | Buffer, cert: string | Buffer }
  /** Least size of every part of a multipart upload but the last, in bytes. Default 5,000,000, as in B2. */
  minPartBytes?: number
}

/** A visible object. */
export interface StoredObject {
  key: string
  versionId: string
  /** Bytes. */
  size: number
  /** Hex. */
  sha256: string
  /** Without quotes; `<md5>-<parts>` for a multipart upload. */
  etag: string
  contentType: string
  /** `x-amz-meta-` headers without that prefix, names in lower case. */
  metadata: Record<string, string>
  lastModified: Date
}

/** Any version of an object, hide markers included. */
export interface StoredVersion extends StoredObject {
  /** It has no content and makes the object look deleted. */
  isHideMarker: boolean
  isLatest: boolean
}

export interface UnfinishedUpload {
  key: string
  uploadId: string
  /** Numbers of the parts stored so far, ascending. */
  parts: number[]
}

/** A running emulator. */
export interface B2Emulator {
  /** URL for the S3 client, with scheme and port. */
  readonly endpoint: string
  readonly host: string
  readonly port: number
  readonly bucket: string
  readonly region: string
  /** In the names the AWS SDK uses. */
  readonly credentials: { accessKeyId: string, secretAccessKey: string }

  /** The visible objects, by key. */
  objects (): StoredObject[]
  /** Every version, by key and newest first. */
  versions (): StoredVersion[]
  /** Bytes of an object; undefined if there is none or it is hidden. */
  read (key: string): Buffer | undefined
  /** Multipart uploads neither completed nor aborted: what B2 would bill for. */
  unfinishedUploads (): UnfinishedUpload[]
  /** Ends them, or those of one key, as a lifecycle rule of the bucket does: from now on they are 404 NoSuchUpload. Returns how many. */
  endUnfinishedUploads (key?: string): number

  /** Scripts a fault. The first one that matches a request and has hits left counts. Throws TypeError for one that makes no sense. */
  fault (fault: Fault): FaultHandle
  /** Removes them all, as their `cancel` does. */
  clearFaults (): void
  /** Slows down every connection, from now on; null ends it. Throws TypeError for a rate that is not above 0. */
  throttle (conditions: Throttle | null): void
  /** Sets its clock this many milliseconds ahead, or behind. Requests signed more than 15 minutes off it are refused. */
  setClock (offsetMs: number): void

  /** The last 10,000 requests, newest last. */
  readonly requests: readonly RequestRecord[]
  /** Calls `listener` at every such event; the returned function removes it. */
  on (event: EmulatorEvent, listener: EmulatorListener): () => void
  /** The next such event that `accept` accepts (default: any). Rejects if the emulator is closed before. */
  waitFor (event: EmulatorEvent, accept?: (record: RequestRecord) => boolean): Promise<RequestRecord>

  /** TCP connections open at this moment. */
  readonly openConnections: number
  /** Stops listening and destroys every connection: clients see ECONNREFUSED. Objects stay. */
  refuseConnections (): Promise<void>
  /** Listens again, on the same port. */
  acceptConnections (): Promise<void>

  /** Forgets objects, uploads, requests, also those held back, faults, the throttle and the clock. Connections and listeners stay. */
  reset (): void
  /** Aborts everything at once, hanging requests included. */
  close (): Promise<void>
}
