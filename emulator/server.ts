import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import type { Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { Connections } from './connections.ts'
import { serveRequest } from './http/exchange.ts'
import { FaultScript } from './faults/faults.ts'
import { RequestJournal } from './journal.ts'
import { MultipartUploads } from './multipart.ts'
import { ObjectStore, sha256Of } from './store.ts'
import type { ExchangeContext, Throttle } from './http/exchange.ts'
import type { B2Emulator, B2EmulatorOptions, StoredObject, StoredVersion } from './emulator.ts'
import type { Version } from './store.ts'

const ALL_CAPABILITIES = ['listBuckets', 'listFiles', 'readFiles', 'writeFiles', 'deleteFiles']
/** Backblaze's front ends close idle connections after about this time. */
const KEEP_ALIVE_MS = 5000
/** Time for a client that doesn't speak HTTP to read why it was refused. */
const CLIENT_ERROR_LINGER_MS = 200

function storedVersion (objects: ObjectStore, version: Version): StoredVersion {
  const { key, versionId, content, etag, contentType, metadata, lastModified, isHideMarker } = version
  return {
    key,
    versionId,
    size: content.size,
    sha256: sha256Of(content),
    etag,
    contentType,
    metadata: { ...metadata },
    lastModified,
    isHideMarker,
    isLatest: objects.isLatest(version),
  }
}

function storedObject (objects: ObjectStore, version: Version): StoredObject {
  const { isHideMarker, isLatest, ...object } = storedVersion(objects, version)
  return object
}

async function listen (server: Server, port: number, host: string): Promise<void> {
  server.listen(port, host)
  await once(server, 'listening')
}

async function stop (server: Server, connections: Connections): Promise<void> {
  const closed = server.listening ? once(server, 'close') : undefined
  if (server.listening) server.close()
  await connections.destroyAll()
  await closed
}

/**
 * Starts a server that stands in for Backblaze B2's S3-compatible API: one bucket, kept in memory, behind real sockets and real signatures.
 * Point an S3 client at `endpoint` with `credentials`, `region` and `bucket`; script trouble with `fault`.
 *
 * ```ts
 * const emulator = await startB2Emulator()
 * emulator.fault({ operation: 'UploadPart', part: 2, status: 503, times: 2 })
 * // … let the code under test upload to emulator.endpoint …
 * assert.equal(emulator.objects()[0]?.sha256, expected)
 * await emulator.close()
 * ```
 *
 * Not emulated: presigned URLs (401), and DeleteObjects, copies, sub-resources such as ACLs, and bucket administration (501).
 *
 * Rejects if it cannot listen on the address.
 */
export async function startB2Emulator (options: B2EmulatorOptions = {}): Promise<B2Emulator> {
  const host = options.host ?? '127.0.0.1'
  const bucket = options.bucket ?? 'emulated-bucket'
  const region = options.region ?? 'us-west-004'
  const signingKey = {
    applicationKeyId: options.applicationKeyId ?? '004e0a7b9c8d6f50000000001',
    applicationKey: options.applicationKey ?? 'K004emulatedKeyNotASecret000000',
    region,
  }
  const objects = new ObjectStore()
  const uploads = new MultipartUploads(options.minPartBytes ?? 5_000_000)
  const faults = new FaultScript()
  const journal = new RequestJournal()
  let throttle: Throttle | null = null
  let clockOffsetMs = 0
  let isEnding = false

  const server: Server = options.tls === undefined ? createHttpServer() : createHttpsServer({ key: options.tls.key, cert: options.tls.cert })
  server.keepAliveTimeout = KEEP_ALIVE_MS
  // Uploads may be throttled or stalled on purpose.
  server.requestTimeout = 0
  const connections = new Connections(server)
  const context: ExchangeContext = {
    bucket: { name: bucket, region, createdAt: new Date(), objects, uploads },
    grants: { bucket, capabilities: new Set(options.capabilities ?? ALL_CAPABILITIES), namePrefix: options.namePrefix ?? '' },
    signingKey,
    faults,
    journal,
    connections,
    throttle: () => throttle,
    line: { dueAt: 0 },
    clockOffsetMs: () => clockOffsetMs,
    isEnding: () => isEnding,
  }
  server.on('request', (request, response) => { void serveRequest(context, request, response, false) })
  // Held back until the body is read, so that a fault can come before it.
  server.on('checkContinue', (request, response) => { void serveRequest(context, request, response, true) })
  server.on('clientError', (_error, socket) => {
    socket.on('error', () => {})
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
    setTimeout(() => socket.destroy(), CLIENT_ERROR_LINGER_MS).unref()
  })
  server.on('upgrade', (_request, socket: Socket) => socket.destroy())

  await listen(server, options.port ?? 0, host)
  const port = (server.address() as AddressInfo).port

  return {
    endpoint: `${options.tls === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`,
    host,
    port,
    bucket,
    region,
    credentials: { accessKeyId: signingKey.applicationKeyId, secretAccessKey: signingKey.applicationKey },

    objects: () => objects.all().filter((version) => version === objects.current(version.key)).map((version) => storedObject(objects, version)),
    versions: () => objects.all().map((version) => storedVersion(objects, version)),
    read (key) {
      const current = objects.current(key)
      return current === undefined ? undefined : Buffer.concat(current.content.chunks)
    },
    unfinishedUploads: () => uploads.all().map(({ key, uploadId, parts }) => ({ key, uploadId, parts: [...parts.keys()].sort((a, b) => a - b) })),
    endUnfinishedUploads: (key) => uploads.endAll(key),

    fault: (fault) => faults.add(fault),
    clearFaults: () => faults.clear(),
    throttle (conditions) {
      if (conditions?.bytesPerSecond !== undefined && !(conditions.bytesPerSecond > 0)) throw new TypeError('bytesPerSecond must be above 0')
      throttle = conditions
    },

    setClock (offsetMs) { clockOffsetMs = offsetMs },

    get requests () { return journal.records },
    on: (event, listener) => journal.on(event, listener),
    waitFor: (event, accept = () => true) => journal.waitFor(event, accept),

    get openConnections () { return connections.size },
    async refuseConnections () {
      isEnding = true
      await stop(server, connections)
    },
    async acceptConnections () {
      if (server.listening) return
      isEnding = false
      await listen(server, port, host)
    },

    reset () {
      objects.clear()
      uploads.clear()
      faults.forget()
      journal.clear()
      throttle = null
      clockOffsetMs = 0
    },
    async close () {
      isEnding = true
      faults.forget()
      await stop(server, connections)
      journal.end()
    },
  }
}
