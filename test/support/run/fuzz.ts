import assert from 'node:assert/strict'
import net from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import type { RawAnswer } from '../clients/raw-http.ts'
import type { TestService } from '../service/service.ts'

const { FUZZ_SEED = '20260131', FUZZ_RUNS, FUZZ_PATH } = process.env

/**
 * Fails with the seed, the path and the smallest counterexample where the property does not hold. `FUZZ_SEED` and `FUZZ_RUNS`
 * look elsewhere and longer; with `FUZZ_PATH` as well, the path of a report, its counterexample comes first.
 *
 * @param runs where `FUZZ_RUNS` says nothing
 */
export async function holds<Values> (runs: number, property: fc.IAsyncPropertyWithHooks<Values> | fc.IPropertyWithHooks<Values>): Promise<void> {
  await fc.assert<unknown>(property as fc.IRawProperty<unknown>, {
    seed: Number(FUZZ_SEED),
    numRuns: Number(FUZZ_RUNS ?? runs),
    ...(FUZZ_PATH === undefined ? {} : { path: FUZZ_PATH }),
  })
}

/** Sends bytes, each chunk on its own, and closes its side; what came until the service closed the connection. */
export async function exchange ({ url }: Pick<TestService, 'url'>, chunks: readonly Uint8Array[]): Promise<Buffer> {
  const { hostname, port } = new URL(url)
  const socket = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true, noDelay: true })
  const received: Buffer[] = []
  socket.on('data', chunk => { received.push(chunk) })
  const closed = new Promise<void>(resolve => {
    socket.once('close', () => resolve())
    socket.once('end', () => { socket.end() })
  })
  socket.on('error', () => {}) // what is left of the answer counts
  for (const chunk of chunks) {
    if (socket.destroyed) break
    socket.write(chunk)
    await turn()
  }
  socket.end()
  await closed
  return Buffer.concat(received)
}

const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([\t\x20-\x7e\x80-\xff]*)$/

/** All answers in what came; throws for anything that is not exactly some whole HTTP/1.1 answers. */
export function answersIn (received: Buffer): RawAnswer[] {
  const answers: RawAnswer[] = []
  for (let rest = received; rest.byteLength > 0;) {
    const end = rest.indexOf('\r\n\r\n')
    if (end === -1) throw new Error(`no end of the headers: ${rest.toString('latin1')}`)
    const [line = '', ...fields] = rest.toString('latin1', 0, end).split('\r\n')
    const status = Number(/^HTTP\/1\.1 (\d{3}) [\x20-\x7e]+$/.exec(line)?.[1])
    const headers = new Headers()
    for (const field of fields) {
      const [, name, value] = FIELD.exec(field) ?? []
      if (name === undefined || value === undefined || headers.has(name)) throw new Error(`a bad header: ${field}`)
      headers.append(name, value)
    }
    if (Number.isNaN(status) || headers.has('transfer-encoding')) throw new Error(`a bad head: ${line}`)
    const next = end + 4 + ([100, 204, 304].includes(status) ? 0 : Number(headers.get('content-length') ?? NaN))
    if (!(next <= rest.byteLength)) throw new Error(`a cut answer: ${line}`)
    const text = rest.toString('utf8', end + 4, next)
    if (status !== 100) answers.push({ status, headers, text, get body () { return JSON.parse(text) } })
    rest = rest.subarray(next)
  }
  return answers
}

/** Bytes in pieces of the sizes, which are gone through again and again. */
export function pieces (bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const found: Uint8Array[] = []
  for (let [from, index] = [0, 0]; from < bytes.byteLength; index++) {
    const size = sizes[index % sizes.length] ?? bytes.byteLength
    found.push(bytes.subarray(from, from + size))
    from += size
  }
  return found
}

/** An error answer is in the service's one shape, for a client as for a log search. */
export function assertErrorShape ({ status, headers, body }: RawAnswer): void {
  assert.deepEqual(Object.keys(body), ['error_code', 'error', 'detail', 'hints', 'correlation_id'])
  for (const name of ['error_code', 'error', 'detail', 'correlation_id']) assert.equal(typeof body[name], 'string', name)
  assert(body.hints.length > 0)
  assert.equal(headers.get('x-correlation-id'), body.correlation_id)
  assert.match(headers.get('content-type')!, /^application\/json/)
  assert.notEqual(status, 500)
}
