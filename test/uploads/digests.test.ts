import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import b2Uploads from '../../index.ts'
import { damaged, digestOf, putWithTrailers } from '../support/clients/digests.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { fieldPart, filePart, form, postBody } from '../support/forms/forms.ts'
import { b2Env, bytes, filesBelow, inB2, put, sha256, startB2, startService } from '../support/service/service.ts'
import { isEmpty } from '../support/service/stored-files.ts'

const CONTENT = bytes(100_000)
const RIGHT = digestOf(CONTENT)
const WRONG = digestOf(damaged(CONTENT, 50_000))
const SHA512 = `sha-512=:${bytes(64).toString('base64')}:`

async function start (t: Test) {
  const b2 = await startB2(t)
  return { b2, service: await startService(t, b2Env(b2)) }
}

const CASES: [name: string, headers: Record<string, string>, trailers: Record<string, string>, status: number, code?: string][] = [
  ['in a header', { 'Repr-Digest': RIGHT }, {}, 201],
  ['as the content\'s', { 'content-digest': RIGHT }, {}, 201],
  ['in a trailer', { trailer: 'Repr-Digest' }, { 'Repr-Digest': RIGHT }, 201],
  ['in a trailer that was not announced', {}, { 'content-digest': RIGHT }, 201],
  ['everywhere', { 'repr-digest': RIGHT, 'content-digest': RIGHT }, { 'repr-digest': RIGHT, 'content-digest': RIGHT }, 201],
  ['beside other algorithms', { 'repr-digest': `${SHA512}, ${RIGHT}, md5=:AA==:` }, {}, 201],
  ['only of other algorithms', { 'repr-digest': SHA512 }, { 'content-digest': 'unixsum=30637' }, 201],
  ['that is wrong, in a header', { 'repr-digest': WRONG }, {}, 400, 'digest_mismatch'],
  ['that is wrong, as the content\'s', { 'content-digest': WRONG }, {}, 400, 'digest_mismatch'],
  ['that is wrong, in a trailer', {}, { 'Repr-Digest': WRONG }, 400, 'digest_mismatch'],
  ['that is wrong in one of two fields', { 'repr-digest': RIGHT, 'content-digest': WRONG }, {}, 400, 'digest_mismatch'],
  ['that is right in the header, and wrong in the trailer', { 'repr-digest': RIGHT }, { 'repr-digest': WRONG }, 400, 'digest_mismatch'],
  ['that is wrong in the header, and right in the trailer', { 'repr-digest': WRONG }, { 'repr-digest': RIGHT }, 400, 'digest_mismatch'],
  ['that is wrong beside another algorithm', { 'repr-digest': `${SHA512}, ${WRONG}` }, {}, 400, 'digest_mismatch'],
  ['that can\'t be read, in a header', { 'repr-digest': 'sha-256=:AAAA:' }, {}, 400, 'invalid_request'],
  ['that can\'t be read, in a trailer', { 'repr-digest': RIGHT }, { 'content-digest': 'SHA-256=x' }, 400, 'invalid_request'],
]

t.test('an upload with a digest', async t => {
  const { b2, service } = await start(t)
  for (const [name, headers, trailers, status, code] of CASES) {
    await t.test(name, async t => {
      const before = b2.requests.length
      const answer = await putWithTrailers(service, CONTENT, trailers, headers)
      const closing = service.log.lines.filter(({ event }) => event?.startsWith('upload.')).at(-1)!
      if (code === undefined) {
        t.match(answer, { status, body: { storage: 'b2', track: { sha256: sha256(CONTENT) } } })
        t.equal(closing.event, 'upload.stored')
        await service.app.uploads.remove(answer.body.track.key.split('/').at(-1))
      } else {
        isError(t, answer, status, code)
        t.match(closing, { event: 'upload.failed', level: 40, error_code: code, detail: answer.body.detail, correlation_id: answer.body.correlation_id })
        t.equal(b2.requests.length, before, 'B2 was not asked for anything')
        if (code === 'digest_mismatch') t.match(answer.body.detail, /^(?:Repr|Content)-Digest is sha-256=:.{44}:, but the file that came has sha-256=:.{44}:\.$/)
      }
      await isEmpty(t, b2, service)
    })
  }
  t.equal(service.log.of('upload.stored').length + service.log.of('upload.failed').length, CASES.length)
})

t.test('a header that can\'t be read is refused before the body is asked for', async t => {
  const { b2, service } = await start(t)
  for (const field of ['Repr-Digest', 'Content-Digest']) {
    const client = await connect(t, service)
    await client.send(`PUT /uploads/a.bin HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 100000000\r\n${field}: sha-256=:AAAA:\r\n\r\n`)
    const answer = await client.answer()
    isError(t, answer, 400, 'invalid_request')
    t.match(answer!.body, { detail: `The sha-256 in ${field} is not a byte sequence of 32 bytes.`, hints: [/RFC 9530/] })
    client.socket.destroy()
  }
  await isEmpty(t, b2, service)
})

t.test('lines of one field are one dictionary, and trailers come over the wire as any client may write them', async t => {
  const { b2, service } = await start(t)
  const send = async (head: string, trailers: string) => {
    const client = await connect(t, service)
    await client.send(`PUT /uploads/a.bin HTTP/1.1\r\nhost: x\r\n${head}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n${trailers}\r\n`)
    return await client.answer()
  }
  const right = digestOf(Buffer.from('hello world'))
  t.match(await send(`Repr-Digest: ${SHA512}\r\nrepr-digest: ${right}\r\n`, `x: y\r\nREPR-DIGEST: ${SHA512}\r\nRepr-Digest:${right}\r\n`), { status: 201 })
  isError(t, await send('', `Repr-Digest: ${SHA512}\r\nrepr-digest: ${RIGHT}\r\n`), 400, 'digest_mismatch')
  isError(t, await send(`Repr-Digest: ${SHA512}\r\nrepr-digest: ${RIGHT}\r\n`, ''), 400, 'digest_mismatch')
  t.same(inB2(b2).files.map(({ key }) => sha256(b2.read(key)!)), [sha256(Buffer.from('hello world'))])
})

t.test('an empty file has a digest, too', async t => {
  const service = await startService(t)
  isError(t, await put(service, bytes(0), 'a', { 'repr-digest': RIGHT }), 400, 'digest_mismatch')
  t.same(await service.localFiles(), [])
  t.match(await put(service, bytes(0), 'a', { 'repr-digest': digestOf(bytes(0)) }), { status: 201 })
})

t.test('a content coding is refused, whatever the digests are of', async t => {
  const service = await startService(t)
  isError(t, await put(service, CONTENT, 'a', { 'content-encoding': 'gzip', 'content-digest': RIGHT, 'repr-digest': WRONG }), 415, 'unsupported_media_type')
  isError(t, await put(service, CONTENT, 'a', { 'content-encoding': 'identity', 'content-digest': WRONG }), 400, 'digest_mismatch')
  t.match(await put(service, CONTENT, 'a', { 'content-encoding': 'identity', 'content-digest': RIGHT }), { status: 201 })
})

t.test('a form is not what its file\'s digest is of: there the fields are ignored', async t => {
  const service = await startService(t)
  t.match(await postBody(service, form(fieldPart('a', 'b'), filePart(CONTENT)), undefined, { 'repr-digest': WRONG }), { status: 201, body: { track: { sha256: sha256(CONTENT) } } })
})

t.test('in a host that speaks HTTP/2 digests count in headers and trailers', async t => {
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  const dir = t.testdir()
  await app.register(b2Uploads, { local: { dir } })
  const client = connectHttp2(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.teardown(() => client.destroy())
  const send = async (headers: Record<string, string>, trailers?: Record<string, string>) => {
    const request = client.request({ ':method': 'PUT', ':path': '/uploads/a', ...headers }, { waitForTrailers: trailers !== undefined })
    request.on('wantTrailers', () => request.sendTrailers(trailers!))
    request.end(CONTENT)
    const [answer] = await once(request, 'response')
    return { status: answer[':status'], body: JSON.parse(Buffer.concat(await request.toArray()).toString()) }
  }
  const mismatch = { status: 400, body: { error_code: 'digest_mismatch' } }
  t.match(await send({ 'repr-digest': WRONG }), mismatch)
  t.match(await send({}, { 'repr-digest': WRONG }), mismatch)
  t.match(await send({}, { 'content-digest': 'x y' }), { status: 400, body: { error_code: 'invalid_request' } })
  t.same(await filesBelow(dir), [])
  t.match(await send({ 'content-digest': RIGHT }, { 'repr-digest': RIGHT }), { status: 201 })
})

t.test('a host\'s inject() has no trailers', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(b2Uploads, { local: { dir: t.testdir() } })
  const inject = async (digest: string) => await app.inject({ method: 'PUT', url: '/uploads/a', payload: CONTENT, headers: { 'repr-digest': digest } })
  t.equal((await inject(RIGHT)).statusCode, 201)
  t.equal((await inject(WRONG)).statusCode, 400)
})
