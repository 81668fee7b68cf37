import t from 'tap'
import { uuidv7 } from '../../../../services/keys.ts'
import { KIB, setPromotionStage } from '../../../support/promotion/promotion.ts'
import { startB2 } from '../../../support/service/service.ts'

const DAY = 86_400_000

t.test('the service ends old unfinished uploads of its own keys, unless the file is here', async t => {
  for (const [age, more] of [[8 * DAY, {}], [2 * DAY, { B2_UNFINISHED_MAX_AGE_MS: String(DAY), RESUMABLE_MAX_AGE_MS: '0' }]] as const) {
    const b2 = await startB2(t)
    const first = await setPromotionStage(t, { B2_KEY_PREFIX: 't' }, b2)
    const { key } = await first.fallBack(KIB)
    const [old, young, foreign] = [`t${uuidv7()}.mp3`, `t${uuidv7()}.mp3`, 'tmp/backup.tar']
    const upload = (key: string, ageMs: number): string => `<Upload><Key>${key}</Key><UploadId>1</UploadId><Initiated>${new Date(Date.now() - ageMs).toISOString()}</Initiated></Upload>`
    const uploads = [upload(key, age), upload(foreign, age), upload(young, age - 1.5 * DAY), upload(old, age)]
    b2.fault({ operation: 'ListMultipartUploads', status: 200, body: `<?xml version="1.0"?><ListMultipartUploadsResult>${uploads.join('')}</ListMultipartUploadsResult>` })
    for (const operation of ['PutObject', 'HeadObject'] as const) b2.fault({ operation, key, status: 503, times: Infinity })
    const ended = b2.waitFor('response', ({ operation }) => operation === 'AbortMultipartUpload')
    await setPromotionStage(t, { B2_KEY_PREFIX: 't', LOCAL_STORAGE_DIR: first.service.dir, PROMOTE_INTERVAL_MS: '100', ...more }, b2)
    await ended
    const asked = b2.requests.filter(({ operation }) => operation === 'ListParts' || operation === 'AbortMultipartUpload')
    t.same(asked.map(({ operation, key }) => [operation, key]), [['ListParts', old], ['AbortMultipartUpload', old]])
  }
})
