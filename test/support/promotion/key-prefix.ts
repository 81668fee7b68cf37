import { join } from 'node:path'
import t from 'tap'
import { isPromoted, KIB, MIB, setPromotionStage } from './promotion.ts'
import { put, sha256 } from '../service/service.ts'

export function findsUnder (prefix: string): void {
  t.test(`a file under the prefix "${prefix}" is found in either store, promoted and removed`, async t => {
    const { b2, service, uploads } = await setPromotionStage(t, { B2_KEY_PREFIX: prefix })
    for (const size of [KIB, 6 * MIB]) {
      const down = b2.fault({ status: 503, times: Infinity })
      const content = Buffer.alloc(size, prefix)
      const { status, headers, body } = await put(service, content, 'song.mp3')
      t.match({ status, body }, { status: 201, body: { storage: 'local', location: join(service.dir, body.track.key) } })
      t.ok(body.track.key.startsWith(prefix))
      const url = new URL(headers.get('location')!, service.url)

      t.same(await (await fetch(url)).json(), body)
      down.cancel()
      t.match(await uploads.promote(), { promoted: 1 })
      await isPromoted(t, b2, service, [{ key: body.track.key, content }])
      t.match(await (await fetch(url)).json(), { storage: 'b2', location: body.track.key, track: body.track })
      t.equal(sha256(Buffer.from(await (await fetch(`${url}/content`)).arrayBuffer())), sha256(content))

      t.equal((await fetch(url, { method: 'DELETE' })).status, 204)
      t.equal((await fetch(url)).status, 404)
      t.same(b2.versions(), [])
    }
  })
}
