import { once } from 'node:events'
import t from 'tap'
import { connect } from '../support/clients/raw-http.ts'
import { startRefusals } from '../support/clients/refusals.ts'
import { BODY_BYTES, beginning, head, isReadInPart, isRefusal } from '../support/clients/early-refusals.ts'

isReadInPart(['file_too_large', 'unsupported_media_type', 'shutting_down'])

t.test('a client that asks by Expect: 100-continue whether to send its body', async t => {
  for (const refusal of await startRefusals(t)) {
    const { name, status, looksAtBytes } = refusal
    await t.test(looksAtBytes ? `is told to, since the service has to look at it, ${name}` : `is told not to, ${name}`, async t => {
      const client = await connect(t, refusal.service)
      const first = once(client.socket, 'data') as Promise<[Buffer]>
      await client.send(head(refusal, BODY_BYTES, { expect: '100-continue' }))
      t.match((await first).toString(), looksAtBytes ? /^HTTP\/1\.1 100 / : new RegExp(`^HTTP/1\\.1 ${status} `))
      await client.send(beginning(refusal))
      isRefusal(t, await client.answer(), refusal)
      client.socket.end()
      t.equal(await client.rest(), '')
    })
  }
})
