import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { fakeClock } from '../run/fake-clock.ts'
import { filePart } from '../forms/forms.ts'
import { connect, isError } from './raw-http.ts'
import type { RawClient } from './raw-http.ts'
import { startRefusals } from './refusals.ts'
import type { Refusal } from './refusals.ts'

export const MIB = 1_048_576
export const DRAINED_BYTES = 64 * MIB
export const BODY_BYTES = 200 * MIB
export const CHUNK = Buffer.alloc(65_536)

export function head ({ method, path, headers }: Refusal, length: number, more: Record<string, string> = {}): string {
  const lines = Object.entries({ host: 'x', ...headers, 'content-length': length, ...more }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** As much of a body as the service looks at. */
export function beginning ({ method, looksAtBytes }: Refusal): Uint8Array {
  const content = Buffer.alloc(looksAtBytes ? 70_000 : 0)
  return looksAtBytes && method === 'POST' ? filePart(content) : content
}

export function isRefusal (t: Test, answer: Awaited<ReturnType<RawClient['answer']>>, { status, code }: Refusal): void {
  isError(t, answer, status, code)
  t.equal(answer?.headers.get('connection'), 'close')
  t.equal(answer?.headers.has('retry-after'), [429, 503].includes(status), 'Retry-After where trying again makes sense')
}

export function isReadInPart (codes: readonly string[]): void {
  t.test(`a refused client that goes on sending is read for 64 MiB at most: ${codes.join(', ')}`, async t => {
    fakeClock(t) // no machine is too slow to send 64 MiB
    const refusals = await startRefusals(t)
    for (const refusal of refusals.filter(({ method, code }) => (method === 'PUT' || code === 'unsupported_media_type') && codes.includes(code))) {
      await t.test(refusal.name, async t => {
        const accepted = once(refusal.service.app.server, 'connection') as Promise<[Socket]>
        const client = await connect(t, refusal.service)
        const [socket] = await accepted
        await client.send(head(refusal, BODY_BYTES))
        await client.send(beginning(refusal))
        isRefusal(t, await client.answer(), refusal)
        const before = socket.bytesRead
        for (let sent = 0; sent < BODY_BYTES && !client.socket.destroyed; sent += CHUNK.byteLength) await client.send(CHUNK)
        t.ok(client.socket.destroyed, 'the connection is closed')
        const drained = socket.bytesRead - before
        t.ok(drained > DRAINED_BYTES - MIB && drained < DRAINED_BYTES + 4 * MIB, `${drained} bytes were read`)
        t.equal(refusal.service.app.uploads.heldBytes, 0)
      })
    }
  })
}
