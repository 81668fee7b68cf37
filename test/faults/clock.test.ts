import t from 'tap'
import { describeFailure } from '../../services/b2/error-codes.ts'
import { CALM, MIB } from '../support/promotion/promotion.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'

const HOUR_MS = 3_600_000

for (const [name, offsetMs] of [['an hour ahead', HOUR_MS], ['two days behind', -48 * HOUR_MS], ['20 minutes ahead', HOUR_MS / 3]] as const) {
  t.test(`where B2's clock is ${name}, its time is taken from its answer`, async t => {
    const b2 = await startB2(t)
    const service = await startService(t, { ...b2Env(b2), ...CALM, BREAKER_THRESHOLD: '1' })
    b2.setClock(offsetMs)
    for (const size of [1_000, 12 * MIB]) {
      const content = bytes(size)
      const { body } = await put(service, content)
      t.match(body, { storage: 'b2' })
      t.equal(sha256(b2.read(body.location)!), sha256(content))
    }
    t.equal(b2.requests.filter(({ errorCode }) => errorCode === 'RequestTimeTooSkewed').length, 1, 'learnt once')
    t.same(service.log.of('breaker.open'), [])
    const { headers } = await fetch(`${service.url}/uploads/${b2.objects()[0]!.key.split('/').pop()}/content`)
    t.equal(headers.get('content-length') !== null, true)
  })
}

t.test('readers learn B2\'s time, too, from answers without a body', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...CALM })
  const { body } = await put(service, bytes(1_000))
  b2.setClock(-HOUR_MS)
  const answer = await fetch(`${service.url}/uploads/${body.location.split('/').pop()}/content`, { method: 'HEAD' })
  t.equal(answer.status, 200)
})

t.test('a request that B2 refuses again for its time is an auth_error, with a word on the clock', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...CALM, BREAKER_THRESHOLD: '3' })
  const date = new Date(Date.now() + HOUR_MS).toUTCString()
  const fault = b2.fault({ operation: 'PutObject', status: 403, code: 'RequestTimeTooSkewed', headers: { date }, times: Infinity })
  const { body } = await put(service, bytes(1_000))
  t.match(body, { storage: 'local', fallback_reason: { error_code: 'auth_error', detail: /clock/ } })
  t.equal(fault.applied, 2, 'once more, and no more')
  t.match(service.log.of('b2.failed'), [{ attempts: 2, hints: [/./, /clock/] }])
  t.equal(service.log.of('breaker.open').length, 1)
})

t.test('a refusal for another reason is not sent again, whatever the clocks say', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...CALM })
  const date = new Date(Date.now() + HOUR_MS).toUTCString()
  const fault = b2.fault({ operation: 'PutObject', status: 403, code: 'AccessDenied', headers: { date }, times: Infinity })
  t.match((await put(service, bytes(1_000))).body, { storage: 'local', fallback_reason: { error_code: 'access_denied' } })
  t.equal(fault.applied, 1)
  t.match(describeFailure({ name: 'SignatureDoesNotMatch', $metadata: { httpStatusCode: 403 } }), { detail: /^(?!.*clock)/ })
})
