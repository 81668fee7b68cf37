import { getEventListeners } from 'node:events'
import t from 'tap'
import type { B2Client, B2Command } from '../../../services/b2/http/client.ts'
import { B2ReadError, ReadRequests, isMissing } from '../../../services/b2/read-requests.ts'

const COMMAND = {} as B2Command

/** B2's answer of that status. */
function answered (httpStatusCode: number, name = 'Unknown', type = 'application/xml'): Error {
  return Object.assign(new Error('the secret word'), { name, $metadata: { httpStatusCode }, $response: { headers: { 'content-type': type } } })
}

function setUp (answer: (signal: AbortSignal) => Promise<object>) {
  const failures: string[] = []
  const stage = { sent: 0, destroyed: 0, failures }
  const client = {
    async send (_command: object, signal: AbortSignal) {
      stage.sent++
      return await answer(signal)
    },
    destroy () { stage.destroyed++ },
  }
  const requests = new ReadRequests(client as unknown as B2Client, text => text.replace('secret', '***'), code => failures.push(code))
  return { ...stage, stage, requests }
}

const hanging = async (signal: AbortSignal): Promise<never> => await new Promise((_resolve, reject) => {
  signal.addEventListener('abort', () => reject(new Error('The request was cancelled.')))
})

t.test('an answer is handed on', async t => {
  const output = {}
  const { requests, failures } = setUp(async () => output)
  const { signal } = new AbortController()
  t.equal(await requests.send(COMMAND, signal), output)
  t.equal(await requests.within(undefined, async () => output), output)
  t.same(failures, [])
})

t.test('a failure is explained, without secrets, and told', async t => {
  const { requests, failures } = setUp(async () => { throw answered(403, 'AccessDenied') })
  const { signal } = new AbortController()
  for (const act of [requests.send(COMMAND, signal), requests.within(signal, async own => await requests.client.send(COMMAND, own))]) {
    t.match(await act.catch((error: unknown) => error), { name: 'B2ReadError', error_code: 'access_denied', status: 403, raw: 'AccessDenied the *** word' })
  }
  t.same(failures, ['access_denied', 'access_denied'])
  t.same(getEventListeners(signal, 'abort'), [])
})

t.test('a failure that is explained already is told once', async t => {
  const { requests, failures } = setUp(async () => { throw answered(503) })
  const { signal } = new AbortController()
  await t.rejects(requests.within(signal, async own => await requests.send(COMMAND, own)), { name: 'B2ReadError' })
  t.same(failures, ['service_unavailable'])
})

t.test('what is not there is no failure, but a bucket that is not there is', async t => {
  const { requests, failures } = setUp(async () => ({}))
  t.equal(isMissing(requests.failure(answered(404, 'NoSuchKey'))), true)
  t.equal(isMissing(requests.failure(answered(404, 'NotFound'))), true)
  t.same(failures, [])
  t.equal(isMissing(requests.failure(answered(404, 'NoSuchBucket'))), false)
  t.equal(isMissing(requests.failure(answered(403, 'NotFound'))), false)
  t.equal(isMissing(answered(404)), false, 'what nobody explained')
  t.same(failures, ['bucket_not_found', 'access_denied'])
})

t.test('a page of somebody else\'s tells nothing of the object', async t => {
  const { requests, failures } = setUp(async () => ({}))
  for (const type of ['text/html', 'Text/HTML; charset=utf-8']) t.equal(isMissing(requests.failure(answered(404, 'NotFound', type))), false, type)
  for (const type of ['application/xml', 'application/xml+text/html', '']) t.equal(isMissing(requests.failure(answered(404, 'NotFound', type))), true, type)
  for (const partly of [{}, { $response: {} }, { $response: { headers: {} } }]) {
    t.equal(isMissing(requests.failure({ $metadata: { httpStatusCode: 404 }, ...partly })), true)
  }
  t.match(requests.failure(undefined), { error_code: 'unknown_error', status: undefined })
  t.same(failures, ['invalid_request', 'invalid_request', 'unknown_error'])
})

t.test('a reader\'s signal ends his requests with its reason', async t => {
  const { requests, failures, stage } = setUp(hanging)
  const controller = new AbortController()
  const reason = new Error('no more interest')
  const work = requests.within(controller.signal, async signal => await requests.send(COMMAND, signal)).catch((error: unknown) => error)
  controller.abort(reason)
  t.equal(await work, reason)
  t.equal(await requests.within(controller.signal, async () => t.fail('it is over')).catch((error: unknown) => error), reason)
  t.equal(await requests.send(COMMAND, controller.signal).catch((error: unknown) => error), reason)
  t.equal(stage.sent, 1)
  t.same(failures, [])
})

t.test('a scope ends by itself, with its reader or with the store, and lets go of all', async t => {
  const { requests, stage } = setUp(hanging)
  const outer = new AbortController()
  const [own, byReader, byStore, over] = [requests.scope(), requests.scope(outer.signal), requests.scope(), requests.scope(outer.signal)]
  over.done()
  t.equal(getEventListeners(outer.signal, 'abort').length, 1)
  own.abort()
  outer.abort('left')
  t.same([own, byReader, byStore, over].map(({ signal }) => signal.aborted), [true, true, false, false])
  t.equal(byReader.signal.reason, 'left')
  const done = requests.scope()
  done.done()
  requests.close()
  t.match(byStore.signal.reason, { name: 'B2ReadError', error_code: 'unknown_error', weight: 'none', retryable: false, detail: /shutting down/, raw: /shutting down/ })
  t.equal(done.signal.aborted, false, 'who is done is not told')
  t.equal(stage.destroyed, 1)
  t.ok(requests.scope().signal.reason instanceof B2ReadError, 'and no other begins')
  t.ok(requests.scope(outer.signal).signal.aborted)
})
