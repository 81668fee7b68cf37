import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import service, { serverOptions } from '../../app.ts'
import type { B2Emulator } from '../../emulator/index.ts'
import { fieldPart, filePart, form, postBody } from '../support/forms/forms.ts'
import { connect } from '../support/clients/raw-http.ts'
import { b2Env, bytes, createLogBook, put, startB2 } from '../support/service/service.ts'
import type { Answer } from '../support/service/service.ts'

const MIB = 1_048_576
const TOKEN = 'the-token-of-a-client'
const HEADERS = { authorization: `Bearer ${TOKEN}`, cookie: `session=${TOKEN}`, 'proxy-authorization': `Basic ${TOKEN}` }

async function start (t: Test, b2: B2Emulator, more: Record<string, string> = {}) {
  const log = createLogBook()
  const env = { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_MAX_ATTEMPTS: '1', BREAKER_THRESHOLD: '0', LOCAL_STORAGE_DIR: t.testdir(), ...more }
  const app = Fastify({ ...serverOptions(env), logger: { level: 'trace', stream: log.stream } })
  await app.register(service, { env })
  app.get('/boom', async () => { throw new Error('a bug') })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  return { url, log, app }
}

function holdsNone (t: Test, what: string, text: string, secrets: readonly string[]): void {
  for (const secret of secrets) t.notOk(text.includes(secret), `${what}: no ${secret.slice(0, 4)}…`)
}

t.test('no answer and no line of the log, at trace level, has a secret in it', async t => {
  const b2 = await startB2(t)
  const { accessKeyId, secretAccessKey } = b2.credentials
  const { url, log } = await start(t, b2, { API_KEYS: `${TOKEN},second-api-key` })
  const secrets = [accessKeyId, secretAccessKey, TOKEN, 'a-wrong-api-key', 'second-api-key', 'AWS4-HMAC']
  const answers: Answer[] = []
  const all = async (): Promise<void> => {
    const headers = { ...HEADERS, 'x-api-key': TOKEN }
    answers.push(await put({ url }, bytes(10), 'a.bin', { ...headers, authorization: 'Bearer a-wrong-api-key' }))
    answers.push(await put({ url }, bytes(10), 'a.bin', headers))
    answers.push(await put({ url }, bytes(12 * MIB), 'a.bin', headers))
    answers.push(await postBody({ url }, form(fieldPart('a', 'b'), filePart(bytes(10))), undefined, headers))
    answers.push(await postBody({ url }, form(), undefined, headers))
    answers.push(await postBody({ url }, bytes(10), 'text/plain', headers))
    for (const path of ['/nowhere', '/boom', '/%zz', '/health']) {
      const response = await fetch(`${url}${path}`, { headers })
      answers.push({ status: response.status, headers: response.headers, body: await response.json() })
    }
  }
  await all()
  const words = [
    `The key '${accessKeyId}' is not valid`, `Malformed Access Key Id: ${accessKeyId}`, `application key ${secretAccessKey} of "${accessKeyId}"`,
    `Credential=${accessKeyId}/20250101/us-west-004/s3/aws4_request, Signature=abc`,
  ]
  for (const message of words) {
    for (const [status, code] of [[403, 'InvalidAccessKeyId'], [403, 'SignatureDoesNotMatch'], [400, 'InvalidArgument'], [503, 'ServiceUnavailable']] as const) {
      b2.fault({ status, code, message, times: Infinity })
      answers.push(await put({ url }, bytes(10), 'a.bin', HEADERS))
      answers.push(await put({ url }, bytes(9 * MIB), 'a.bin', HEADERS))
      b2.clearFaults()
      b2.fault({ operation: 'UploadPart', status, code, message, times: Infinity }) // so that the clean-up speaks, too
      b2.fault({ operation: 'AbortMultipartUpload', status, code, message })
      answers.push(await put({ url }, bytes(9 * MIB), 'a.bin', HEADERS))
      await log.until(({ event }) => event === 'b2.cleanup_failed')
      b2.clearFaults()
    }
  }
  t.ok(log.lines.some(line => String(line.b2_says).includes('***')), 'what B2 says is in the log, without the key id')
  t.ok(log.lines.some(line => line.level === 10), 'trace lines were written')
  const client = await connect(t, { url })
  await client.send(`GET / HTTP/1.1\r\nauthorization: Bearer ${TOKEN}\r\nbad header\r\n\r\n`)
  holdsNone(t, 'answer of the parser', (await client.answer())!.text, secrets)
  for (const { body, headers } of answers) holdsNone(t, 'answer', JSON.stringify([body, [...headers]]), secrets)
  for (const line of log.lines) holdsNone(t, `line "${line.msg}"`, JSON.stringify(line), secrets)
})

t.test('a key id that B2 quotes, and that is not the configured one, is taken out as well', async t => {
  const b2 = await startB2(t)
  const { url, log } = await start(t, b2)
  b2.fault({ status: 403, code: 'InvalidAccessKeyId', message: "The key '004aaaabbbbccccdddd0000000001' is not valid", times: Infinity })
  const { body } = await put({ url }, bytes(10))
  t.equal(body.fallback_reason.error_code, 'auth_error')
  holdsNone(t, 'answer and log', JSON.stringify([body, log.lines]), ['004aaaabbbbccccdddd0000000001'])
})
