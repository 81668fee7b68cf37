import t from 'tap'
import { bytes, put, startService } from '../support/service/service.ts'

t.test('with API_KEYS every route but /health needs one of them', async t => {
  const service = await startService(t, { API_KEYS: 'first-key,second-key' })

  for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: 'Basic first-key' }, { authorization: 'Bearer' }, { authorization: 'Bearer first-key,second-key' }]) {
    const answer = await put(service, bytes(10), 'a.bin', headers as Record<string, string>)
    t.equal(answer.status, 401, JSON.stringify(headers))
    t.equal(answer.body.error_code, 'unauthorized')
    t.equal(answer.headers.get('www-authenticate'), 'Bearer')
    t.ok(answer.body.correlation_id)
  }
  t.same(await service.localFiles(), [], 'nothing was stored')

  for (const key of ['first-key', 'second-key']) {
    t.equal((await put(service, bytes(10), 'a.bin', { authorization: `Bearer ${key}` })).status, 201)
  }
  t.equal((await fetch(`${service.url}/health`)).status, 200)
})

t.test('a large upload without a key is refused while it is still being sent', async t => {
  const service = await startService(t, { API_KEYS: 'a-key' })
  const answer = await put(service, bytes(20_000_000))
  t.equal(answer.status, 401)
  t.equal(answer.headers.get('connection'), 'close')
  t.equal(service.app.uploads.heldBytes, 0)
})
