import t from 'tap'
import { CASES, EMPTY_CASES, SIZE } from '../support/clients/conditional-cases.ts'
import { EMPTY, answersAll } from '../support/clients/conditional-gist.ts'
import { contentPath } from '../support/clients/download.ts'
import { setPromotionStage } from '../support/promotion/promotion.ts'
import { bytes, put } from '../support/service/service.ts'

const CONTENT = bytes(SIZE)

t.test('ranges and conditions, from B2', async t => {
  const { service } = await setPromotionStage(t)
  for (const [content, cases] of [[CONTENT, CASES], [EMPTY, EMPTY_CASES]] as const) {
    const { body } = await put(service, content)
    t.equal(body.storage, 'b2')
    await answersAll(t, service, contentPath(body.track.key), content, cases)
  }
})
