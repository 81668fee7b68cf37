import t from 'tap'
import { setPromotionStage } from '../support/promotion/promotion.ts'
import { put } from '../support/service/service.ts'
import { findsUnder } from '../support/promotion/key-prefix.ts'

findsUnder('Müsik/a b-')

t.test('a name without the prefix that stands before the id is none', async t => {
  const { service } = await setPromotionStage(t, { B2_KEY_PREFIX: 'tracks-' })
  const { body } = await put(service, Buffer.from('x'), 'song.mp3')
  t.equal((await fetch(`${service.url}/uploads/${body.track.id}.mp3`)).status, 404)
})
