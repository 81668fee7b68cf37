import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { Sha256 } from '@smithy/core/checksum'
import type { HttpRequest } from '@smithy/core/protocols'
import { SignatureV4 } from '@smithy/signature-v4'
import type { FinalizeRequestMiddleware } from '@smithy/types'
import toFastProperties from 'to-fast-properties'
import { withDefaults } from '../../config/options.ts'
import { Movement } from '../line/movement.ts'
import { PutObject } from './put-object.ts'
import { B2RequestHandler, ABORT_SIGNAL, EARLIER, MOVEMENT, NEW_CONNECTION, STREAMED_ANSWER, TURN } from './request-handler.ts'
import type { HandlerWishes } from './request-handler.ts'
import { FOR_UPLOADS, createRetryStrategy } from './retry-strategy.ts'
import type { Patience } from './retry-strategy.ts'
import { Signer } from './signature.ts'
import { Turns } from '../line/turns.ts'

/** How to reach a bucket over Backblaze's S3-compatible API. */
export interface B2ConnectionOptions {
  /** `https://s3.<region>.backblazeb2.com`, or the URL of any S3-compatible server. */
  readonly endpoint: string
  /** Signing region, such as `us-west-004`. */
  readonly region: string
  /** Its name. */
  readonly bucket: string
  /** Id of an application key; B2 refuses the master key. */
  readonly applicationKeyId: string
  /** The application key, a secret. */
  readonly applicationKey: string
  /** Milliseconds to connect. Default 5,000. */
  readonly connectTimeoutMs?: number
  /** Milliseconds without movement after which a request has stalled. Default 10,000. */
  readonly stallTimeoutMs?: number
  /**
   * Once a client has sent everything, the file falls back if B2 acknowledges nothing for so many milliseconds; 0: no such bound.
   * Default 45,000, as proxies in front give up after a minute.
   */
  readonly ackTimeoutMs?: number
  /** Tries of one request. Default 4. */
  readonly maxAttempts?: number
  /** `https://host/bucket/key` rather than `https://bucket.host/key`. Default true. */
  readonly forcePathStyle?: boolean
  /**
   * Whether to sign the sha256 of each part of a multipart upload. Over http it is always signed. Over https the default is false:
   * TLS protects the bytes on the way, and hashing all of a file a second time is the largest single cost of a large upload. Files
   * that go in one request are always signed, as their hash is known anyway.
   */
  readonly signParts?: boolean
}

/** sha256 (hex) of request bodies that is known already, so that signing need not hash them again. */
export type KnownHashes = WeakMap<Uint8Array, string>

/** An S3 client with all the settings that B2 needs. */
export interface B2Client {
  readonly config: S3Client['config']
  /** The turns of bodies on the line. */
  readonly turns: Turns
  /** Sends one command of the SDK; `signal` aborts it, at the latest when it would be tried again. */
  send<Output extends object> (command: B2Command<Output>, signal: AbortSignal, how?: SendOptions): Promise<Output & { $metadata: { attempts?: number } }>
  destroy (): void
}

export interface SendOptions {
  /** Is told of what moves. */
  readonly movement?: Movement
}

/** Any command of the SDK, by the type of its answer. */
export interface B2Command<Output extends object = object> {
  readonly input: object
  // Not called here: it only ties the answer's type to the command's.
  resolveMiddleware (stack: never, config: never, options: never): (args: never) => Promise<{ output: Output }>
}

/** Has `command` sent on a new connection, as B2 advises after a failure. Returns the command. */
export function onNewConnection<Command extends B2Command> (command: Command): Command {
  Object.assign(command.input, { [NEW_CONNECTION]: true })
  return command
}

/** Has the body of a successful answer handed over as a stream. Returns the command. */
export function withStreamedAnswer<Command extends B2Command> (command: Command): Command {
  Object.assign(command.input, { [STREAMED_ANSWER]: true })
  return command
}

const FAILED_TRY = Symbol('failed try')

interface TryWatch {
  [FAILED_TRY]?: (error: unknown) => void
}

/** Calls `onFailedTry` with the error of each failed try of the command, also if it is sent again. Returns the command. */
export function watchingTries<Command extends B2Command> (command: Command, onFailedTry: (error: unknown) => void): Command {
  Object.assign(command.input, { [FAILED_TRY]: onFailedTry } satisfies TryWatch)
  return command
}

const SIGNED_BODY = Symbol('signed body')

/** Has the hash of the body signed, whatever {@link B2ConnectionOptions.signParts} says. Returns the command. */
export function withSignedBody<Command extends B2Command> (command: Command): Command {
  Object.assign(command.input, { [SIGNED_BODY]: true })
  return command
}

// These cost time in each request and are of no use with B2: logs that are not kept, redirects to other regions, S3 Express,
// Lambda's trace header, a list of the SDK's features in use.
const NEEDLESS_MIDDLEWARE = [
  'loggerMiddleware', 'regionRedirectMiddleware', 's3ExpressMiddleware', 's3ExpressHttpSigningMiddleware', 'recursionDetectionMiddleware',
  'addExpectContinueMiddleware', 'getUserAgentMiddleware',
]

/** @throws {TypeError} for an endpoint that is not a URL. */
export function createB2Client (options: B2ConnectionOptions, hashes: KnownHashes, patience: Patience = FOR_UPLOADS): B2Client {
  const { endpoint, region, bucket, maxAttempts, connectTimeoutMs, stallTimeoutMs, ackTimeoutMs, forcePathStyle } = withDefaults('b2', options)
  const credentials = { accessKeyId: options.applicationKeyId, secretAccessKey: options.applicationKey }
  const handler = new B2RequestHandler({ connectTimeoutMs, stallTimeoutMs })
  const client = new S3Client({
    endpoint,
    region,
    credentials,
    forcePathStyle,
    // The SDK would create a new one for each request.
    signer: new SignatureV4({ credentials, region, service: 's3', sha256: Sha256, uriEscapePath: false }),
    // B2 answers 400 to the x-amz-checksum-* headers and trailers that the SDK sends by default.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Each Expect: 100-continue would cost a connection of its own.
    expectContinueHeader: false,
    // The middleware is the same for every command of a kind; resolving it again for each is most of a small PUT's cost.
    cacheMiddleware: true,
    retryStrategy: createRetryStrategy(maxAttempts, patience),
    maxAttempts,
    requestHandler: handler,
  })
  const turns = new Turns({
    timeoutMs: ackTimeoutMs || withDefaults('b2', {}).ackTimeoutMs,
    stillMs: stallTimeoutMs / 2,
  })
  for (const name of NEEDLESS_MIDDLEWARE) client.middlewareStack.remove(name)
  // The SDK copies its settings several times for each request. They are so many that V8 keeps them in a hash table, which took
  // a third of the SDK's time for a small file.
  toFastProperties(client.config)

  const unsignedParts = options.signParts !== true && new URL(endpoint).protocol === 'https:'
  client.middlewareStack.add((next, context) => async args => {
    const { headers } = args.request as HttpRequest
    headers['user-agent'] = 'fastify-b2-uploads'
    const { Body, [SIGNED_BODY]: signed } = args.input as { Body?: unknown, [SIGNED_BODY]?: boolean }
    const hash = Body instanceof Uint8Array ? hashes.get(Body) : undefined
    const unsigned = unsignedParts && signed !== true && context.commandName === 'UploadPartCommand'
    const payload = hash ?? (unsigned ? 'UNSIGNED-PAYLOAD' : undefined)
    if (payload !== undefined) headers['x-amz-content-sha256'] = payload
    return next(args)
  }, { name: 'userAgentAndPayloadHash', step: 'build' })

  // In each try, before it is signed: a signature contains the time.
  const inTurn: FinalizeRequestMiddleware<object, object> = next => async args => {
    const input = args.input as { Body?: unknown } & HandlerWishes
    if (!(input.Body instanceof Uint8Array) || input.Body.byteLength === 0 || input[EARLIER]?.isTaken === false) return await next(args)
    const { [MOVEMENT]: movement = new Movement(turns), [ABORT_SIGNAL]: signal } = input
    const turn = await movement.take(input.Body.byteLength, signal)
    let isAcknowledged = false
    try {
      const result = await next({ ...args, input: Object.assign(input, { [TURN]: turn }) })
      isAcknowledged = true
      return result
    } finally {
      movement.end(turn, isAcknowledged)
    }
  }
  client.middlewareStack.addRelativeTo(inTurn as never, { name: 'turns', relation: 'after', toMiddleware: 'retryMiddleware' })

  client.middlewareStack.add((next, context) => async args => {
    const { [ABORT_SIGNAL]: signal, [NEW_CONNECTION]: isNew, [STREAMED_ANSWER]: streamed, [MOVEMENT]: movement, [TURN]: turn, [EARLIER]: earlier, [FAILED_TRY]: onFailedTry } = args.input as HandlerWishes & TryWatch
    Object.assign(args.request as HttpRequest, { [ABORT_SIGNAL]: signal, [NEW_CONNECTION]: isNew, [STREAMED_ANSWER]: streamed, [MOVEMENT]: movement, [TURN]: turn, [EARLIER]: earlier })
    const result = await next(args).catch((error: unknown) => {
      onFailedTry?.(error)
      throw Object.defineProperty(Object(error), ABORT_SIGNAL, { value: signal, configurable: true })
    })
    // B2 can answer 200 with an error in the body. An answer without its result counts as a failure, here within the retry loop,
    // so that the request is sent again. (For an object that was stored, HeadObject decides: see upload-client.ts.)
    const output = result.output as { ETag?: string, UploadId?: string }
    const incomplete = (context.commandName === 'UploadPartCommand' && output.ETag === undefined) ||
      (context.commandName === 'CreateMultipartUploadCommand' && output.UploadId === undefined)
    if (!incomplete) return result
    const error = Object.assign(new Error('B2 answered success without its result.'), { name: 'IncompleteAnswer' })
    onFailedTry?.(error)
    throw error
  }, { name: 'cancelAndCheck', step: 'deserialize', priority: 'high' })

  const putObject = new PutObject({ config: client.config, bucket, region, endpoint, forcePathStyle, handler, signer: new Signer(options), hashes })

  return {
    config: client.config,
    turns,
    async send (command, signal, { movement } = {}) {
      if (command instanceof PutObjectCommand) {
        const answer = await putObject.send(command.input, movement ?? new Movement(turns), signal)
        if (answer !== undefined) return answer as never
      }
      // With `send`'s own option for the signal, the SDK would not use the cached middleware. So it is a property of the input, as
      // the SDK's middleware passes on copies of that.
      Object.assign(command.input, { [ABORT_SIGNAL]: signal, [MOVEMENT]: movement })
      return await client.send(command as never)
    },
    destroy: () => client.destroy(),
  }
}
