import t from 'tap'
import type { Test } from 'tap'
import { HttpRequest } from '@smithy/core/protocols'
import type { Fault } from '../../emulator/index.ts'
import { describeFailure } from '../../services/b2/error-codes.ts'
import { B2RequestHandler } from '../../services/b2/http/request-handler.ts'
import { CALM, MIB } from '../support/promotion/promotion.ts'
import { startScriptedServer } from '../support/b2/scripted-server.ts'
import { b2Env, bytes, inB2, put, settledFiles, sha256, startB2, startService } from '../support/service/service.ts'

// CompleteMultipartUpload may be answered before it is carried out, with white space until it is.

const STALL_MS = 400

async function upload (t: Test, fault: Fault, { size = 12 * MIB, ...env }: { size?: number } & Record<string, string | number> = {}) {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...CALM, B2_STALL_TIMEOUT_MS: String(STALL_MS), ...Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)])) })
  const handle = b2.fault({ operation: 'CompleteMultipartUpload', action: 'white-space', ...fault })
  const content = bytes(size)
  const { body } = await put(service, content)
  return { b2, service, content, body, handle, completions: () => b2.requests.filter(({ operation }) => operation === 'CompleteMultipartUpload').length }
}

for (const [name, fault, size] of [
  ['spaces first', {}, 12 * MIB],
  ['the declaration first', { declarationFirst: true }, 6 * MIB],
  ['few spaces', { everyMs: 3 * STALL_MS / 4 }, 12 * MIB],
  ['no space at all, as it is done at once', { delayMs: 0 }, 12 * MIB],
  ['beyond the window', {}, 40 * MIB],
] as [string, Fault, number][]) {
  t.test(`a Complete that takes its time is waited for: ${name}`, async t => {
    const { b2, content, body, completions } = await upload(t, { everyMs: 100, delayMs: 3 * STALL_MS, ...fault }, { size })
    t.match(body, { storage: 'b2' })
    t.equal(sha256(b2.read(body.location)!), sha256(content))
    t.equal(completions(), 1)
    t.equal(inB2(b2).files.length, 1, 'once')
  })
}

t.test('an error at its end is a failure', async t => {
  for (const code of ['InternalError', 'ServiceUnavailable', 'SlowDown']) {
    const { b2, service, content, body } = await upload(t, { everyMs: 50, delayMs: 200, code, times: Infinity })
    t.match(body, { storage: 'local', fallback_from_b2: true, track: { sha256: sha256(content) } })
    b2.clearFaults()
    t.match(await settledFiles(service), { length: 2 })
    t.same([inB2(b2).files, b2.unfinishedUploads()], [[], []])
  }
})

t.test('an error at its end that does not come again is tried again', async t => {
  const { body, completions } = await upload(t, { everyMs: 50, delayMs: 200, code: 'InternalError' }, { B2_MAX_ATTEMPTS: 2 })
  t.match(body, { storage: 'b2' })
  t.equal(completions(), 2)
})

t.test('when the spaces end before the document, it has stalled', async t => {
  const { b2, body } = await upload(t, { everyMs: 60_000, delayMs: 60_000, times: Infinity })
  t.match(body, { storage: 'local', fallback_reason: { error_code: 'timeout' } })
  t.same(inB2(b2).files, [])
})

/** What a Complete comes to whose answer is written piece by piece. */
async function complete (t: Test, pieces: string[], { everyMs = 20, ...options }: { everyMs?: number, longestCompletionMs?: number } = {}) {
  const { port } = await startScriptedServer(t, (socket, received) => {
    if (!received.endsWith('\r\n\r\n')) return
    const rest = ['HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n', ...pieces]
    const timer = setInterval(() => {
      const piece = rest.shift()
      if (piece === undefined) {
        clearInterval(timer)
        socket.end()
      } else socket.write(piece)
    }, everyMs)
    socket.on('close', () => clearInterval(timer))
  })
  const handler = new B2RequestHandler({ connectTimeoutMs: 10_000, stallTimeoutMs: 200, ...options })
  t.teardown(() => { handler.destroy() })
  const request = new HttpRequest({ protocol: 'http:', hostname: '127.0.0.1', port, method: 'POST', path: '/', query: { uploadId: '1' }, headers: { host: 'b2' } } as never)
  return await handler.handle(request).then(({ response }) => String(response.body), (error: unknown) => error)
}

const SPACES = Array.from({ length: 30 }, () => ' ')

t.test('however the answer comes, its document is what counts', async t => {
  const document = '<CompleteMultipartUploadResult/>'
  const declaration = '<?xml version="1.0"?>'
  t.equal(await complete(t, [...SPACES, declaration, document]), declaration + document, 'a declaration after the spaces')
  t.equal(await complete(t, [...SPACES.map(() => '\r\n\t'), document]), document, 'line breaks and tabs')
  t.match(await complete(t, [declaration, ...SPACES, document]), /^<\?xml version="1.0"\?> +<CompleteMultipartUploadResult\/>$/)
  t.equal(await complete(t, Array.from(declaration + document)), declaration + document, 'letter by letter')
})

t.test('spaces and no document leave open what became of it', async t => {
  for (const pieces of [SPACES, []]) {
    const error = await complete(t, pieces)
    t.match(error, { name: 'TransportError', outcomeUnknown: true })
    t.match(describeFailure(error), { error_code: 'service_unavailable', retryable: true }, 'B2 was reached')
  }
})

t.test('spaces without an end are a stall after some minutes', async t => {
  const endless = Array.from({ length: 1_000 }, () => ' ')
  t.match(await complete(t, endless, { longestCompletionMs: 100 }), { code: 'B2_STALLED', outcomeUnknown: true })
})
