import { once } from 'node:events'
import net from 'node:net'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import type { Answer, TestService } from '../service/service.ts'

/** An HTTP answer as it came over the wire. */
export interface RawAnswer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Whether 100 Continue came before it. */
  readonly isContinued?: boolean
  // Tests look into bodies of all shapes.
  readonly body: any
}

/** A client that sends what it is told, well-formed or not. */
export interface RawClient {
  readonly socket: Socket
  /** Resolves when the bytes have left this process, or the connection is closed. */
  send (data: string | Uint8Array): Promise<void>
  /** The next whole answer; undefined where the connection ends before it. */
  answer (): Promise<RawAnswer | undefined>
  /** All that comes until the connection is closed. */
  rest (): Promise<string>
}

/** A connection that ends with the test. */
export async function connect (t: Test, { url }: Pick<TestService, 'url'>): Promise<RawClient> {
  const { hostname, port } = new URL(url)
  const socket = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  t.teardown(() => { socket.destroy() })
  socket.on('error', () => {}) // what is left of the answer counts, not how the connection ended
  let received = Buffer.alloc(0)
  const connection = { over: false }
  let wake = (): void => {}
  socket.on('data', chunk => {
    received = Buffer.concat([received, chunk])
    wake()
  })
  for (const event of ['end', 'close']) {
    socket.on(event, () => {
      connection.over = true
      wake()
    })
  }
  await once(socket, 'connect')
  const more = async (): Promise<void> => { await new Promise<void>(resolve => { wake = resolve }) }

  return {
    socket,
    async send (data) {
      if (socket.destroyed) return
      await new Promise<void>(resolve => {
        const done = (): void => {
          socket.off('close', done)
          resolve()
        }
        socket.once('close', done)
        socket.write(data, done)
      })
    },
    async answer () {
      for (;;) {
        const found = parseAnswer(received)
        if (found !== undefined) {
          received = received.subarray(found.length)
          return found.answer
        }
        if (connection.over) return undefined
        await more()
      }
    },
    async rest () {
      while (!connection.over) await more()
      return received.toString('latin1')
    },
  }
}

function parseAnswer (bytes: Buffer): { answer: RawAnswer, length: number } | undefined {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const [line, ...pairs] = bytes.toString('latin1', 0, end).split('\r\n')
  const headers = new Headers(pairs.map(pair => [pair.slice(0, pair.indexOf(':')), pair.slice(pair.indexOf(':') + 1).trim()]))
  const length = end + 4 + Number(headers.get('content-length') ?? 0)
  if (bytes.byteLength < length) return undefined
  const status = Number(line!.split(' ')[1])
  if (status === 100) {
    const next = parseAnswer(bytes.subarray(length))
    return next === undefined ? undefined : { answer: Object.defineProperty(next.answer, 'isContinued', { value: true }), length: length + next.length }
  }
  const text = bytes.toString('utf8', end + 4, length)
  return { answer: { status, headers, text, isContinued: false, get body () { return JSON.parse(text) } }, length }
}

/** Asserts that an answer is an error in the service's one shape, for a client as for a log search. */
export function isError (t: Test, answer: Pick<Answer, 'status' | 'headers' | 'body'> | undefined, status: number, code: string): void {
  if (answer === undefined) {
    t.fail(`no answer, ${status} ${code} was expected`)
    return
  }
  const { body } = answer
  t.equal(answer.status, status, `status ${status}`)
  t.equal(body.error_code, code, `error_code ${code}`)
  t.strictSame(Object.keys(body).sort(), ['correlation_id', 'detail', 'error', 'error_code', 'hints'], 'the contract\'s fields')
  t.match(body, { error: /\S.*\.$/, detail: /\S/, correlation_id: /^[A-Za-z0-9._:-]{1,128}$/ })
  t.ok(Array.isArray(body.hints) && body.hints.length > 0 && body.hints.every((hint: unknown) => typeof hint === 'string'), 'hints')
  t.equal(answer.headers.get('x-correlation-id'), body.correlation_id, 'the same correlation id in header and body')
  t.match(answer.headers.get('content-type'), /^application\/json/)
}
