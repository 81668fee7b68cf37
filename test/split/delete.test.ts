import t from 'tap'
import { isEmpty, isNotFound, remove } from '../support/service/stored-files.ts'
import { setSplitStage } from '../support/split/split.ts'

t.test('a split file that is deleted is gone from both stores', async t => {
  const { b2, service, uploads, split } = await setSplitStage(t)
  const file = await split()
  file.down.cancel()
  t.equal((await remove(service, file.name)).status, 204)
  await isNotFound(t, service, file.name)
  t.equal((await remove(service, file.name)).status, 204, 'also the second time')
  await isEmpty(t, b2, service)
  t.match(await uploads.promote(), { promoted: 0, pending: 0 })
})
