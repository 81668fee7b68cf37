import t from 'tap'
import type { Test } from 'tap'
import { CASES, EMPTY_CASES, SIZE, headersFor } from '../support/clients/conditional-cases.ts'
import type { Case, Expected, Validators } from '../support/clients/conditional-cases.ts'
import { EMPTY, METHODS, gist, gistOf, nameOf, validatorsOf } from '../support/clients/conditional-gist.ts'
import { contentPath, download } from '../support/clients/download.ts'
import type { Download, Server } from '../support/clients/download.ts'
import { setEnv } from '../support/run/env.ts'
import { setPromotionStage } from '../support/promotion/promotion.ts'
import { bytes, put, startService } from '../support/service/service.ts'

const CONTENT = bytes(SIZE)
/** What this service answers to a method. nginx honours `Range` on HEAD, too; RFC 9110 §14.2 defines it for GET alone. */
function ours (expected: Case[1], method: 'GET' | 'HEAD'): Exclude<Expected, 'multipart'> {
  const isOfRange = expected === 416 || typeof expected !== 'number'
  return method === 'HEAD' && isOfRange ? 200 : expected as Exclude<Expected, 'multipart'>
}

/** Runs all cases against the service. */
async function runAll (t: Test, server: Server, path: string, content: Buffer, cases: readonly Case[]): Promise<void> {
  setEnv(t, { TZ: 'Asia/Kolkata' }) // HTTP's dates don't depend on it
  const validators = await validatorsOf(server, path)
  for (const [headers, expected] of cases) {
    for (const method of METHODS) {
      const answer = await download(server, path, { method, headers: headersFor(headers, validators) })
      const name = nameOf(method, headers)
      t.same(gist(answer), gistOf(ours(expected, method), content, method), name)
      isServiceAnswer(t, answer, validators, method, name)
    }
  }
}

const CODES: Record<number, string> = { 412: 'precondition_failed', 416: 'range_not_satisfiable' }

function isServiceAnswer (t: Test, { status, headers, body }: Download, { etag, date }: Validators, method: string, name: string): void {
  const code = CODES[status]
  if (code === undefined) {
    t.match(headers, { etag, 'last-modified': date, 'cache-control': 'private, no-cache' }, `${name}: the validators`)
    if (status === 304) t.strictSame([headers['content-length'], headers['content-type'], body.byteLength], [undefined, undefined, 0], `${name}: nothing else`)
    else t.match(headers, { 'accept-ranges': 'bytes', 'x-content-type-options': 'nosniff' }, `${name}: the file's headers`)
    return
  }
  t.match(headers, { 'content-type': /^application\/json/, 'content-disposition': undefined, etag: undefined }, `${name}: an error`)
  if (method === 'HEAD') t.ok(Number(headers['content-length']) > 0 && body.byteLength === 0, `${name}: without its body`)
  else t.match(JSON.parse(body.toString()), { error_code: code, correlation_id: headers['x-correlation-id'] })
}

t.test('ranges and conditions, from B2', async t => {
  const { service } = await setPromotionStage(t)
  for (const [content, cases] of [[CONTENT, CASES], [EMPTY, EMPTY_CASES]] as const) {
    const { body } = await put(service, content)
    t.equal(body.storage, 'b2')
    await runAll(t, service, contentPath(body.track.key), content, cases)
  }
})

t.test('ranges and conditions, from local storage', async t => {
  const service = await startService(t)
  for (const [content, cases] of [[CONTENT, CASES], [EMPTY, EMPTY_CASES]] as const) {
    const { body } = await put(service, content)
    t.equal(body.storage, 'local')
    await runAll(t, service, contentPath(body.track.key), content, cases)
  }
})
