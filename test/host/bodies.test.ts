import { Transform } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import b2Uploads from '../../index.ts'
import { filePart, form, postBody } from '../support/forms/forms.ts'
import { isError } from '../support/clients/raw-http.ts'
import { bytes, createLogBook, filesBelow, put } from '../support/service/service.ts'

const content = bytes(3_000_000)

async function startHost (t: Test, prepare: (app: FastifyInstance) => void) {
  const log = createLogBook()
  const app = Fastify({ logger: { level: 'info', stream: log.stream } })
  t.teardown(() => app.close())
  prepare(app)
  const dir = t.testdir()
  await app.register(b2Uploads, { local: { dir } })
  return { app, dir, log, url: await app.listen({ host: '127.0.0.1', port: 0 }) }
}

const HOOKS: Record<string, [(app: FastifyInstance) => void, RegExp]> = {
  'reads the body to its end': [app => app.addHook('preHandler', async ({ raw }) => {
    await raw.resume().toArray()
  }), /hook of the app has read/],
  'listens to the body while another one takes its time': [app => {
    app.addHook('preParsing', async (_request, _reply, payload) => {
      payload.on('data', () => {})
      return payload
    })
    app.addHook('preHandler', async ({ raw }) => {
      while (!raw.readableDidRead) await turn()
    })
  }, /hook of the app has read/],
  'puts another stream in the place of the body': [app => app.addHook('preParsing', async (_request, _reply, payload) => {
    return payload.pipe(new Transform({ transform (chunk, _encoding, done) { done(null, chunk) } }))
  }), /preParsing hook of the app replaces the request/],
}

for (const [what, [prepare, detail]] of Object.entries(HOOKS)) {
  t.test(`a hook of the host that ${what} is named as the trouble, and nothing is stored`, async t => {
    const host = await startHost(t, prepare)
    for (const answer of [await put(host, content), await postBody(host, form(filePart(content)))]) {
      isError(t, answer, 500, 'internal_error')
      t.match(answer.body.detail, detail)
    }
    t.same(await filesBelow(host.dir), [])
    t.match(host.log.of('upload.failed'), [{ error_code: 'internal_error', detail }, { error_code: 'internal_error', detail }])
  })
}

t.test('a body that has fewer bytes than it announced is not stored', async t => {
  const { app, dir, log } = await startHost(t, () => {})
  const request = (size: number) => app.inject({ method: 'PUT', url: '/uploads/a', payload: content, headers: { 'content-length': String(size) } })
  const answer = await request(content.byteLength + 1)
  t.equal(answer.statusCode, 400)
  t.match(answer.json(), { error_code: 'malformed_upload' })
  t.match(log.of('upload.failed'), [{ error_code: 'malformed_upload', reason: 'The source ended after 3000000 of the 3000001 bytes that it had announced.' }])
  t.same(await filesBelow(dir), [])
  t.equal((await request(content.byteLength)).statusCode, 201)
})

t.test('what is missing for B2 is named once, by the plugin', async t => {
  const log = createLogBook()
  const app = Fastify({ logger: { level: 'info', stream: log.stream } })
  t.teardown(() => app.close())
  const { optionsFromEnv } = await import('../../index.ts')
  await app.register(b2Uploads, optionsFromEnv({
    B2_ENDPOINT: 'https://s3.us-west-004.backblazeb2.com', B2_APPLICATION_KEY_ID: 'an id', LOCAL_STORAGE_DIR: t.testdir(),
  }))
  await app.ready()
  t.match(log.lines, [{ level: 40, missing: ['B2_BUCKET', 'B2_APPLICATION_KEY'], msg: /B2_BUCKET, B2_APPLICATION_KEY missing: running local-only/ }])
})
