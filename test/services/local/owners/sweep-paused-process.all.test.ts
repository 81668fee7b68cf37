import { fork } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { bundle } from '../../../../scripts/bundle.ts'
import { answerTo } from '../../../support/service/answer.ts'
import { CALM, KIB } from '../../../support/promotion/promotion.ts'
import { b2Env, bytes, filesBelow, put, sha256, startB2, startService } from '../../../support/service/service.ts'
import { SWEEP_DELAY_MS } from '../../../../services/local/owners/sweep.ts'

const skip = process.platform !== 'linux' && 'only Linux tells a paused process from a dead one'

t.test('an upload survives that its process stands still while another one starts; that of a killed process goes', { skip }, async t => {
  const b2 = await startB2(t)
  b2.fault({ status: 503, times: Infinity })
  const dir = t.testdir()
  const env = { ...b2Env(b2), ...CALM, BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: '600000', LOCAL_STORAGE_DIR: dir }
  const content = bytes(200 * KIB)
  const parts = async (): Promise<string[]> => (await filesBelow(dir)).filter(name => name.endsWith('.part'))

  /** A process with half an upload in local storage. */
  const begin = async () => {
    const child = fork(bundle('test/support/service/service-process.ts'), { env: { PATH: process.env['PATH'], ...env }, execArgv: ['--no-warnings'] })
    t.teardown(() => { child.kill('SIGKILL') })
    const [{ url }] = await once(child, 'message') as [{ url: string }]
    t.equal((await put({ url }, bytes(KIB))).body.storage, 'local')
    const before = (await parts()).length
    const request = http.request(`${url}/uploads/file.bin`, { method: 'PUT', agent: false, headers: { 'content-length': content.byteLength } })
    request.on('error', () => {})
    request.write(content.subarray(0, 100 * KIB))
    while ((await parts()).length === before) await wait(10)
    return { child, request }
  }
  const paused = await begin()
  const [part] = await parts()
  const killed = await begin()
  paused.child.kill('SIGSTOP')
  killed.child.kill('SIGKILL')
  await once(killed.child, 'exit')

  const second = await startService(t, env)
  // Both looks of a sweep, and one more: nobody says that it has left something.
  await wait(2.4 * SWEEP_DELAY_MS)
  t.ok((await parts()).includes(part!))
  const answer = answerTo(paused.request)
  paused.child.kill('SIGCONT')
  paused.request.end(content.subarray(100 * KIB))
  const { status, body } = await answer
  t.match([status, body.storage], [201, 'local'])
  t.equal(body.track?.sha256, sha256(content))
  const read = await fetch(`${second.url}/uploads/${body.track?.key.split('/').pop()}/content`)
  t.equal(sha256(Buffer.from(await read.arrayBuffer())), sha256(content))
  await second.log.until(({ partFilesRemoved }) => partFilesRemoved === 1)
  t.same(await parts(), [], 'that of the killed process')
})
