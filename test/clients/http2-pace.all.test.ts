import { once } from 'node:events'
import { connect } from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import b2Uploads from '../../index.ts'
import { fieldPart, filePart, form } from '../support/forms/forms.ts'
import { bytes, filesBelow, sha256 } from '../support/service/service.ts'

const KIB = 1_024
const MOST_CHUNKS = 500 // ten seconds
const FORM = { ':method': 'POST', ':path': '/uploads', 'content-type': 'multipart/form-data; boundary=the-boundary-of-this-form' }
const BODY = { ':method': 'PUT', ':path': '/uploads/a.bin' }

/** One connection to a host that speaks HTTP/2. */
async function startHost (t: Test): Promise<{ client: ClientHttp2Session, dir: string }> {
  const dir = t.testdir()
  const app = Fastify({ http2: true })
  await app.register(b2Uploads, { local: { dir }, idleTimeoutMs: 400 })
  const client = connect(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.teardown(async () => {
    client.destroy()
    await app.close()
  })
  return { client, dir }
}

async function answerOf (request: ClientHttp2Stream): Promise<{ status: number, body: any }> {
  const [headers] = await once(request, 'response')
  request.end()
  return { status: headers[':status'], body: JSON.parse(Buffer.concat(await request.toArray()).toString()) }
}

/** Sends a little, again and again, until the promise has settled, or ten seconds have passed. */
async function keepSending (request: ClientHttp2Stream, until: Promise<unknown>): Promise<Buffer> {
  const sent: Buffer[] = []
  const state = { over: false }
  until.finally(() => { state.over = true }).catch(() => {})
  while (!state.over && sent.length < MOST_CHUNKS) {
    const chunk = Buffer.from(bytes(8 * KIB))
    sent.push(chunk)
    request.write(chunk)
    await setTimeout(20)
  }
  return Buffer.concat(sent)
}

t.test('in HTTP/2 an upload that stands still is ended, though another one on its connection moves', async t => {
  const { client, dir } = await startHost(t)
  const idle = [
    ['a body of which nothing comes', BODY, undefined],
    ['a body that stops', BODY, bytes(100 * KIB)],
    ['a form of which nothing comes', FORM, undefined],
    ['a form that stops in a text field', FORM, form(fieldPart('a', 'b')).subarray(0, 60)],
    ['a form that stops in its file', FORM, form(filePart(bytes(100 * KIB))).subarray(0, 50 * KIB)],
  ] as const
  const fast = client.request(BODY)
  const answer = answerOf(fast)
  const ended = Promise.all(idle.map(async ([name, headers, start]) => {
    const request = client.request(headers)
    if (start !== undefined) request.write(start)
    t.match(await answerOf(request), { status: 408, body: { error_code: 'upload_stalled' } }, name)
  }))
  const content = await keepSending(fast, ended)
  fast.end()
  await ended
  const { status, body } = await answer
  t.equal(status, 201, 'the one that moves is stored')
  t.equal(body.track.sha256, sha256(content))
  t.equal((await filesBelow(dir)).length, 2, 'and nothing else')
})

t.test('in HTTP/2 an upload that moves is not ended, whether it is a form or a body', async t => {
  const { client } = await startHost(t)
  for (const [headers, content] of [[BODY, bytes(30 * KIB)], [FORM, form(fieldPart('a', 'b'), filePart(bytes(30 * KIB)))]] as const) {
    const request = client.request(headers)
    const answer = answerOf(request)
    // Slowly: for longer than the idle time, at more than the least rate.
    for (let sent = 0; sent < content.byteLength; sent += 2 * KIB) {
      request.write(content.subarray(sent, sent + 2 * KIB))
      await setTimeout(60)
    }
    request.end()
    t.equal((await answer).status, 201)
  }
})
