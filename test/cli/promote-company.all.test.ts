import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { rounds } from '../support/run/loops.ts'
import { filesIn, isPromoted, KIB, setPromotionStage } from '../support/promotion/promotion.ts'
import type { Stored } from '../support/promotion/promotion.ts'
import { setCommandStage } from '../support/promotion/promote-command.ts'
import type { CommandStage } from '../support/promotion/promote-command.ts'

// Many processes are started one after the other, each of which loads all code anew.

/** Files that wait, and a B2 that takes its time for each, so that all processes come to their turn. */
async function setWork (t: Test, count: number): Promise<CommandStage & { stored: Stored[] }> {
  const stage = await setCommandStage(t, { PROMOTE_CONCURRENCY: '4' })
  const stored = []
  for (let file = 0; file < count; file++) stored.push(await stage.fallBack(KIB + file))
  stage.b2.fault({ operation: 'PutObject', delayMs: 150, times: Infinity })
  return { ...stage, stored }
}

const putsOf = ({ b2 }: CommandStage): string[] => b2.requests.filter(({ operation, status }) => operation === 'PutObject' && status === 200).map(({ key }) => key!).sort()

t.test('four at once and a service share the work: each file once, and nobody fails', async t => {
  const stage = await setWork(t, rounds(60, 240))
  const { b2, service, uploads, stored, run } = stage
  const running = Promise.all(Array.from({ length: 4 }, () => run('--json')))
  await b2.waitFor('request', ({ operation }) => operation === 'PutObject')
  const own = await uploads.promote()
  const ended = await running
  t.same(ended.map(({ code, stderr }) => [code, stderr]), Array.from({ length: 4 }, () => [0, '']))
  const promoted = [own.promoted, ...ended.map(({ stdout }) => JSON.parse(stdout).promoted as number)]
  t.comment(`promoted: ${promoted.join(', ')}`)
  t.equal(promoted.reduce((sum, count) => sum + count), stored.length)
  t.ok(promoted.filter(count => count >= 4).length >= 3, 'each of them its part')
  t.same(putsOf(stage), stored.map(({ key }) => key).sort())
  t.match(await uploads.promote(), { promoted: 0, pending: 0 })
  await isPromoted(t, b2, service, stored)
})

t.test('when one of three is killed in the middle, the others do its work', async t => {
  const stage = await setWork(t, rounds(30, 120))
  const { b2, service, stored, begin } = stage
  const doomed = await begin('--json')
  await b2.waitFor('request', ({ operation }) => operation === 'PutObject')
  const others = [await begin('--json'), await begin('--json')]
  while (filesIn(b2).length < 8) await b2.waitFor('response')
  doomed.child.kill('SIGKILL')
  t.match(await doomed.ended, { code: null })
  for (const { ended } of others) t.match(await ended, { code: 0, stderr: '' })
  await isPromoted(t, b2, service, stored)
})

t.test('PROMOTE_CONCURRENCY files are promoted at once, and no more', async t => {
  const stage = await setCommandStage(t, { PROMOTE_CONCURRENCY: '3' })
  const { b2, service, fallBack, run } = stage
  const stored = []
  for (let file = 0; file < 12; file++) stored.push(await fallBack(KIB + file))
  b2.fault({ operation: 'PutObject', delayMs: 100, times: Infinity })
  let [now, most] = [0, 0]
  b2.on('request', ({ operation }) => { if (operation === 'PutObject') most = Math.max(most, ++now) })
  b2.on('response', ({ operation }) => { if (operation === 'PutObject') now-- })
  t.match(await run(), { code: 0, stderr: '' })
  t.equal(most, 3)
  await isPromoted(t, b2, service, stored)
})

t.test('while the circuit is open exactly one of several promotions tries B2, and then all go on', async t => {
  const { b2, service, uploads, fallBack } = await setPromotionStage(t, {
    PROMOTE_CONCURRENCY: '4', BREAKER_THRESHOLD: '1', BREAKER_RESET_MS: '500',
  })
  const stored = []
  for (let file = 0; file < 8; file++) stored.push(await fallBack(KIB + file))
  await sleep(500) // BREAKER_RESET_MS: that the circuit may be probed again is no event
  b2.fault({ operation: 'PutObject', delayMs: 100, times: Infinity })
  let [now, most, first] = [0, 0, true]
  b2.on('request', ({ operation }) => {
    if (operation === 'PutObject') most = Math.max(most, ++now)
    if (operation === 'PutObject' && first) t.equal(service.log.of('breaker.half_open').length, 1)
  })
  b2.on('response', ({ operation }) => {
    if (operation !== 'PutObject') return
    if (first) t.equal(most, 1, 'the probe is alone')
    first = false
    now--
  })
  t.match(await uploads.promote(), { promoted: 8, failed: 0, pending: 0 })
  t.ok(most > 1 && most <= 4, `${most} at once after it`)
  t.equal(service.log.of('breaker.half_open').length, 1)
  await isPromoted(t, b2, service, stored)
})
