import t from 'tap'
import { isEmpty, isNotFound, remove } from '../support/service/stored-files.ts'
import { deleteDuringJoin } from '../support/split/delete-during-join.ts'
import { setSplitStage } from '../support/split/split.ts'

t.test('a split file that is deleted while B2 is down goes from there when it is back', async t => {
  const { b2, service, uploads, split } = await setSplitStage(t)
  const file = await split()
  file.down.cancel()
  await b2.refuseConnections()
  t.equal((await remove(service, file.name)).status, 204)
  t.notSame(b2.unfinishedUploads(), [])
  await b2.acceptConnections()
  await uploads.promote()
  await isEmpty(t, b2, service)
  await isNotFound(t, service, file.name)
})

t.test('a deletion whose conditions do not hold leaves a split file as it is', async t => {
  const { b2, service, split } = await setSplitStage(t)
  const file = await split()
  const before = await service.localFiles()
  t.equal((await remove(service, file.name, { headers: { 'if-match': '"another"' } })).status, 412)
  t.same(await service.localFiles(), before)
  t.equal(b2.unfinishedUploads().length, 1)
})

deleteDuringJoin('the look whether B2 has it')
deleteDuringJoin('the list of its parts')
deleteDuringJoin('a part on its way')
deleteDuringJoin('a part that is done')
deleteDuringJoin('its receipt')
deleteDuringJoin('the completion on its way')
deleteDuringJoin('the completion that is done')

t.test('a completion that lands after the deletion makes no object', async t => {
  const { b2, service, uploads, split } = await setSplitStage(t)
  const file = await split({ acknowledged: 3, fault: { operation: 'CompleteMultipartUpload', status: 503, times: Infinity, late: true } })
  file.down.cancel()
  t.equal((await remove(service, file.name)).status, 204)
  file.down.land()
  await uploads.promote()
  await isEmpty(t, b2, service)
  await isNotFound(t, service, file.name)
})

t.test('a completion that lands while B2 can not be asked to end it: the object goes, too', async t => {
  const { b2, service, uploads, split } = await setSplitStage(t)
  const file = await split({ acknowledged: 3, fault: { operation: 'CompleteMultipartUpload', status: 503, times: Infinity, late: true } })
  file.down.cancel()
  const away = b2.fault({ operation: ['AbortMultipartUpload', 'DeleteObject', 'DeleteObjects', 'ListObjectVersions'], status: 503, times: Infinity })
  t.equal((await remove(service, file.name)).status, 204)
  t.equal(file.down.land(), 1)
  away.cancel()
  await uploads.promote()
  await isEmpty(t, b2, service)
  await isNotFound(t, service, file.name)
})
