import type { IncomingMessage, ServerResponse } from 'node:http'
import { checkAccess, checkHeaders, isTooLarge } from './access.ts'
import { emptyAnswer, errorAnswer } from './answer.ts'
import { receiveBody } from './body.ts'
import { S3Error } from './errors.ts'
import { runOperation } from '../operations/operations.ts'
import { createPacer, wait } from '../faults/pace.ts'
import { errorInSuccess, scriptedAnswer, withoutEtag } from '../faults/answers.ts'
import { createSpaceAnswer, sendAnswer, sendEarly, sendGarbage } from './send.ts'
import { verifySignature } from './signature.ts'
import { parseTarget } from './target.ts'
import type { Grants } from './access.ts'
import type { Answer } from './answer.ts'
import type { Received } from './body.ts'
import type { Connections } from '../connections.ts'
import type { Fault, FaultScript, Hit } from '../faults/faults.ts'
import type { RequestJournal, RequestOutcome, RequestRecord } from '../journal.ts'
import type { Bucket } from '../operations/call.ts'
import type { Line, Pacer } from '../faults/pace.ts'
import type { SigningKey } from './signature.ts'
import type { Content } from '../store.ts'
import type { Target } from './target.ts'

/** Network conditions of every connection. */
export interface Throttle {
  /** Reading of request bodies and writing of answers, each connection by itself. Default: unlimited. */
  bytesPerSecond?: number
  /** Whether all connections share `bytesPerSecond`, as on a full line. Default: each has it alone. */
  isShared?: boolean
  /** Milliseconds before every answer. Default 0. */
  latencyMs?: number
}

/** What every exchange of one emulator shares. */
export interface ExchangeContext {
  bucket: Bucket
  grants: Grants
  signingKey: SigningKey
  faults: FaultScript
  journal: RequestJournal
  connections: Connections
  throttle: () => Throttle | null
  line: Line
  /** Milliseconds by which its clock is ahead. */
  clockOffsetMs: () => number
  isEnding: () => boolean
}

const NOWHERE: Target = {
  operation: 'Unknown',
  rawPath: '/',
  bucket: undefined,
  key: undefined,
  query: [],
  partNumber: undefined,
  uploadId: undefined,
  versionId: undefined,
}

function asS3Error (error: unknown): S3Error {
  return error instanceof S3Error ? error : new S3Error(500, 'InternalError', `The emulator failed: ${String(error)}`)
}

/** One request and its answer, or what a fault makes of it. */
class Exchange {
  readonly #context: ExchangeContext
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #expectsContinue: boolean
  readonly #gone = new AbortController()
  readonly #target: Target
  readonly #record: RequestRecord
  readonly #fault: Fault | undefined
  readonly #hold: Hit['hold'] | undefined
  readonly #released: Hit['released'] | undefined
  readonly #pacer: Pacer
  readonly #line: Line = { dueAt: 0 }
  #refusal: S3Error | undefined

  constructor (context: ExchangeContext, request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) {
    this.#context = context
    this.#request = request
    this.#response = response
    this.#expectsContinue = expectsContinue
    this.#target = this.#readHead()
    const hit = context.faults.take(this.#target)
    this.#fault = hit?.fault
    this.#hold = hit?.hold
    this.#released = hit?.released
    this.#pacer = createPacer(() => this.#faultRate() ?? context.throttle()?.bytesPerSecond, this.#gone.signal,
      () => this.#faultRate() === undefined && context.throttle()?.isShared === true ? context.line : this.#line, this.#released)
    const offsetMs = context.clockOffsetMs()
    if (offsetMs !== 0) response.setHeader('date', new Date(Date.now() + offsetMs).toUTCString())
    const { authorization, ...headers } = request.headers
    this.#record = context.journal.open({
      connection: context.connections.idOf(request.socket),
      operation: this.#target.operation,
      method: request.method ?? '',
      key: this.#target.key,
      partNumber: this.#target.partNumber,
      uploadId: this.#target.uploadId,
      versionId: this.#target.versionId,
      headers,
      fault: this.#fault,
    })
    this.#record.errorCode = this.#refusal?.code

    request.on('error', () => {})
    response.on('error', () => {})
    response.once('finish', () => this.#endAs('answered'))
    const { socket } = request
    const end = () => {
      response.off('close', end)
      socket.off('close', end)
      this.#endAs(context.isEnding() ? 'closed' : 'client-gone')
      this.#gone.abort()
      context.journal.emit('response', this.#record)
    }
    response.on('close', end)
    // A pipelined request's response has no socket yet, and gets no event when that closes.
    socket.on('close', end)
  }

  #readHead (): Target {
    const { method = '', url = '/', headersDistinct: headers } = this.#request
    let target = NOWHERE
    try {
      target = parseTarget(method, url, headers['host']?.[0] ?? '', this.#context.bucket.name, headers['x-amz-copy-source'] !== undefined)
      verifySignature(method, target, headers, this.#context.signingKey, Date.now() + this.#context.clockOffsetMs())
      checkAccess(target, this.#context.grants)
      checkHeaders(target, headers)
    } catch (error) {
      this.#refusal = asS3Error(error)
    }
    return target
  }

  #faultRate (): number | undefined {
    return this.#released?.aborted === true ? undefined : this.#fault?.bytesPerSecond
  }

  #endAs (outcome: RequestOutcome): void {
    if (this.#record.outcome === 'pending') this.#record.outcome = outcome
  }

  /** Resolves when the exchange is over or hangs for ever; never rejects. */
  async run (): Promise<void> {
    const { action, status, early, at } = this.#fault ?? {}
    if (action === 'reset' && at === 'before-body') return await this.#afterDelay(() => this.#reset())
    if (status !== undefined && early === true) return await this.#afterDelay(() => this.#answerEarly(scriptedAnswer(this.#fault!)))
    if (this.#refusal !== undefined && isTooLarge(this.#target, this.#request.headersDistinct)) {
      return this.#answerEarly(errorAnswer(this.#refusal))
    }

    const received = await this.#receive()
    if (received.end === 'vanished') return
    if (action === 'stop-reading') return await this.#afterDelay(() => this.#hang())
    if (action === 'reset' && at === 'during-body') return await this.#afterDelay(() => this.#reset())
    if (received.end === 'whole') await this.#act(received.content)
  }

  async #receive (): Promise<Received> {
    if (this.#expectsContinue) this.#response.writeContinue()
    const { action, at, atByte } = this.#fault ?? {}
    let stopAt: number | undefined
    if (action === 'stop-reading') stopAt = atByte ?? 0
    if (action === 'reset' && at === 'during-body') stopAt = atByte ?? Math.floor(Number(this.#request.headers['content-length'] ?? 0) / 2)
    return await receiveBody(this.#request, {
      pacer: this.#pacer,
      keep: this.#refusal === undefined,
      stopAt,
      onBytes: (bytes) => { this.#record.bytesReceived += bytes },
    })
  }

  async #act (body: Content): Promise<void> {
    const fault = this.#fault
    if (fault?.late === true) this.#hold?.(() => this.#apply(body).status < 400)
    if (fault?.status !== undefined) {
      if (fault.apply === true) this.#apply(body)
      const answer = scriptedAnswer(fault)
      return await this.#afterDelay(() => this.#answer(answer))
    }
    switch (fault?.action) {
      case 'hang':
        return await this.#afterDelay(() => this.#hang())
      case 'reset':
        return await this.#afterDelay(() => this.#reset())
      case 'garbage':
        return await this.#afterDelay(() => {
          this.#endAs('garbage')
          sendGarbage(this.#request.socket)
        })
      case 'lose-answer':
        this.#apply(body)
        return await this.#afterDelay(() => this.#reset())
      case 'lose-answer-hang':
        this.#apply(body)
        return await this.#afterDelay(() => this.#hang())
      case 'error-in-200':
        if (fault.apply === true) this.#apply(body)
        return await this.#afterDelay(() => this.#answer(errorInSuccess(fault)))
      case 'white-space':
        return await this.#answerSlowly(fault, body)
      case 'no-etag': {
        const answer = fault.apply === false ? emptyAnswer(200) : withoutEtag(this.#apply(body))
        return await this.#afterDelay(() => this.#answer(answer))
      }
      case 'truncate-answer': {
        const answer = this.#apply(body)
        return await this.#afterDelay(() => {
          this.#endAs('cut')
          return this.#answer(answer, fault.atByte ?? Math.floor(answer.size / 2))
        })
      }
      default: {
        const answer = this.#apply(body)
        return await this.#afterDelay(() => this.#answer(answer))
      }
    }
  }

  #apply (body: Content): Answer {
    try {
      if (this.#refusal !== undefined) throw this.#refusal
      const answer = runOperation(this.#context.bucket, { target: this.#target, headers: this.#request.headersDistinct, body })
      this.#context.journal.emit('applied', this.#record)
      return answer
    } catch (error) {
      const refusal = asS3Error(error)
      this.#record.errorCode = refusal.code
      return errorAnswer(refusal)
    }
  }

  async #afterDelay (act: () => void | Promise<void>): Promise<void> {
    const delayMs = (this.#fault?.delayMs ?? 0) + (this.#context.throttle()?.latencyMs ?? 0)
    if (delayMs > 0 && !await wait(delayMs, this.#gone.signal, this.#released)) return
    if (this.#fault !== undefined) this.#context.journal.emit('fault', this.#record)
    await act()
  }

  #hang (): void {
    this.#endAs('hung')
  }

  #reset (): void {
    this.#endAs('reset')
    this.#context.connections.reset(this.#request.socket)
  }

  async #answer (answer: Answer, cutAt?: number): Promise<void> {
    this.#record.status = answer.status
    const isHeadError = this.#request.method === 'HEAD' && answer.status >= 400
    await sendAnswer(this.#response, isHeadError ? emptyAnswer(answer.status) : answer, { pacer: this.#pacer, gone: this.#gone.signal, cutAt })
  }

  /** Begins the answer at once, and does the work only at its end. */
  async #answerSlowly (fault: Fault, body: Content): Promise<void> {
    this.#context.journal.emit('fault', this.#record)
    this.#record.status = 200
    const space = createSpaceAnswer(this.#response, fault.declarationFirst === true)
    for (let left = fault.delayMs ?? 0; left > 0; left -= fault.everyMs ?? 1_000) {
      space.write()
      if (!await wait(Math.min(left, fault.everyMs ?? 1_000), this.#gone.signal, this.#released)) return
      if (this.#released?.aborted === true) break
    }
    const applied = fault.code === undefined || fault.apply === true ? this.#apply(body) : undefined
    space.end(fault.code === undefined ? applied! : errorInSuccess(fault))
  }

  #answerEarly (answer: Answer): void {
    this.#record.status = answer.status
    this.#endAs('answered')
    sendEarly(this.#request.socket, answer, this.#request.method === 'HEAD')
  }
}

/** Serves one request. Never rejects: a client may vanish at any moment. */
export async function serveRequest (context: ExchangeContext, request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): Promise<void> {
  try {
    await new Exchange(context, request, response, expectsContinue).run()
  } catch {
    // Only a defect leads here, such as a fault's `key` function that throws: close the connection rather than end the process.
    response.destroy()
  }
}
