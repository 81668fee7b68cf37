import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { contentPath, request, rest } from '../support/clients/download.ts'
import { b2Env, bytes, put, sha256, startB2, startService } from '../support/service/service.ts'

t.test('a reader that stands still has no connection to B2 after a while, and gets all of its file when it goes on', async t => {
  const content = bytes(32 * 1_048_576) // more than sockets can hold
  const b2 = await startB2(t)
  const service = await startService(t, b2Env(b2))
  const path = contentPath((await put(service, content)).body.track.key)
  const ended = b2.waitFor('response', ({ operation, key }) => operation === 'GetObject' && key!.endsWith('.bin'))
  const [whole, part] = [await request(service, path), await request(service, path, { headers: { range: 'bytes=1000-' } })]
  t.match(await ended, { outcome: 'client-gone' })
  while (b2.openConnections > 0) await wait(50)
  t.equal(sha256((await rest(whole)).body), sha256(content))
  t.equal(sha256((await rest(part)).body), sha256(content.subarray(1_000)))
  t.same(service.log.lines.filter(({ level }) => level >= 40), [], 'that is no trouble')
})
