import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { B2Cleanup } from '../../../../services/b2/cleanup/cleanup.ts'
import type { B2CleanupOptions } from '../../../../services/b2/cleanup/cleanup.ts'
import type { B2Client } from '../../../../services/b2/http/client.ts'
import { fakeClock } from '../../../support/run/fake-clock.ts'
import type { FakeClock } from '../../../support/run/fake-clock.ts'

const DOWN = Object.assign(new Error('down'), { code: 'ECONNREFUSED' })
const REFUSED = Object.assign(new Error('not entitled'), { name: 'AccessDenied', $metadata: { httpStatusCode: 403 } })

interface Stage {
  readonly cleanup: B2Cleanup
  readonly clock: FakeClock
  /** Keys or ids that B2 was asked of. */
  readonly asked: unknown[]
  readonly failures: string[]
  readonly told: { level: string, fields: Record<string, unknown> }[]
  /** What B2 answers, or fails with. */
  answer: (what: unknown, signal: AbortSignal) => Promise<object>
  /** Lets what is under way go on as far as it can. */
  turns (): Promise<void>
}

/** A clean-up in memory, in time of its own, of a B2 that answers as it is told. */
function setUp (t: Test, options: Partial<B2CleanupOptions> = {}): Stage {
  const clock = fakeClock(t)
  const asked: unknown[] = []
  const failures: string[] = []
  const told: Stage['told'] = []
  const tell = (level: string) => (fields: object): void => { told.push({ level, fields: fields as never }) }
  const stage = {
    clock,
    asked,
    failures,
    told,
    answer: (async () => ({})) as Stage['answer'],
    async turns () { for (let count = 0; count < 30; count++) await turn() },
  }
  const client = {
    config: { systemClockOffset: 0 },
    async send ({ input }: { input: Record<string, unknown> }, signal: AbortSignal) {
      const what = input['UploadId'] ?? input['Prefix'] ?? input['Key']
      asked.push(what)
      return await stage.answer(what, signal)
    },
  }
  const cleanup = new B2Cleanup({
    client: client as unknown as B2Client,
    bucket: 'music',
    log: { info: tell('info'), warn: tell('warn'), error: tell('error') },
    onFailure: code => { failures.push(code) },
    ...options,
  })
  return Object.assign(stage, { cleanup })
}

const fail = (error: Error) => async (): Promise<never> => { throw error }

t.test('while B2 is out of reach the pauses double up to a minute, and begin anew after a success', async t => {
  const stage = setUp(t)
  const { cleanup, clock, asked } = stage
  stage.answer = fail(DOWN)
  cleanup.add({ kind: 'doubles', key: 'a' })
  await stage.turns()
  for (const [index, pause] of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000].entries()) {
    t.equal(asked.length, index + 1)
    clock.advance(pause - 1)
    await stage.turns()
    t.equal(asked.length, index + 1, `not before ${pause} ms`)
    clock.advance(1)
    await stage.turns()
  }
  stage.answer = async what => { if (what === 'a') return {}; throw DOWN }
  cleanup.add({ kind: 'doubles', key: 'b' })
  await stage.turns()
  const before = asked.length
  clock.advance(999)
  await stage.turns()
  t.equal(asked.length, before)
  clock.advance(1)
  await stage.turns()
  t.equal(asked.length, before + 1)
  t.ok(stage.failures.every(code => code === 'network_error'))
})

t.test('with nothing left there is no timer', async t => {
  const stage = setUp(t)
  stage.cleanup.add({ kind: 'doubles', key: 'a' })
  await stage.turns()
  t.same([stage.asked, stage.clock.timers, stage.told, stage.failures], [['a'], 0, [], []])
  stage.cleanup.retry()
  await stage.turns()
  t.equal(stage.asked.length, 1)
})

t.test('a failure ends a pass, a refusal does not, but ten do', async t => {
  const stage = setUp(t)
  stage.answer = fail(REFUSED)
  for (let count = 0; count < 12; count++) stage.cleanup.add({ kind: 'upload', key: 'a', uploadId: String(count) })
  await stage.turns()
  t.same(stage.asked, Array.from({ length: 10 }, (_, index) => String(index)))
  t.equal(stage.told.length, 10)
  stage.cleanup.retry()
  await stage.turns()
  t.same(stage.asked.slice(10), ['10', '11', '0', '1', '2', '3', '4', '5', '6', '7'], 'those that waited come first')
  t.equal(stage.told.length, 12, 'and each is told once')
  t.match(stage.told[0], { level: 'warn', fields: { event: 'b2.cleanup_failed', kind: 'upload', key: 'a', uploadId: '0', error_code: 'access_denied', detail: /403/ } })
  stage.answer = fail(DOWN)
  stage.cleanup.retry()
  await stage.turns()
  t.equal(stage.asked.length, 21)
  t.same(stage.failures.slice(-2), ['access_denied', 'network_error'])
})

t.test('the end gives what is under way two seconds, and tells what is left', async t => {
  const stage = setUp(t)
  let isEnded = false
  stage.answer = async (_what, signal) => await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => {
      isEnded = true
      reject(new Error('cancelled'))
    })
  })
  for (let count = 0; count < 25; count++) stage.cleanup.add({ kind: 'doubles', key: String(count) })
  await stage.turns()
  const closed = stage.cleanup.close()
  stage.clock.advance(1_999)
  t.equal(isEnded, false)
  stage.clock.advance(1)
  await closed
  t.equal(isEnded, true)
  t.match(stage.told, [{ level: 'warn', fields: { event: 'b2.leftovers', count: 25, leftovers: { length: 20 } } }], 'that it was cancelled is no failure')
  t.same([stage.failures, stage.clock.timers], [[], 0])
  stage.cleanup.add({ kind: 'doubles', key: 'late' })
  stage.cleanup.retry()
  await stage.cleanup.sweepUnfinished('tracks/', 1)
  stage.clock.advance(100_000)
  await stage.turns()
  t.equal(stage.asked.length, 1, 'nothing begins any more')
})

t.test('an end with nothing left says nothing', async t => {
  const stage = setUp(t)
  await stage.cleanup.close()
  t.same([stage.told, stage.clock.timers, stage.asked], [[], 0, []])
})

t.test('of a key\'s uploads those go that were begun before, by clocks that differ by ten seconds', async t => {
  t.intercept(Date, 'now', { value: () => 1_000_000 })
  const stage = setUp(t)
  const Uploads = [['old', 1_010_000], ['new', 1_010_001]].map(([UploadId, time]) => ({ Key: 'a', UploadId, Initiated: new Date(time as number) }))
  stage.answer = async what => what === 'a' ? { Uploads } : {}
  stage.cleanup.add({ kind: 'uploads', key: 'a' })
  await stage.turns()
  t.same(stage.asked, ['a', 'old'])
})

t.test('a busy key waits, and so does one of which nobody can tell, which is told once', async t => {
  const answers = { busy: true, broken: false }
  const asked: string[] = []
  const stage = setUp(t, {
    isWanted: async key => {
      asked.push(key)
      if (answers.broken) throw new Error('the disk is broken')
      return false
    },
    isBusy: async () => answers.busy,
  })
  t.equal(await stage.cleanup.note({ kind: 'object', key: 'a.receipt.json' }), false)
  await stage.turns()
  t.same([asked, stage.asked], [['a'], []], 'a companion is asked of by its file')
  answers.broken = true
  for (let count = 0; count < 2; count++) {
    stage.cleanup.retry()
    await stage.turns()
  }
  t.match(stage.told, [{ level: 'warn', fields: { event: 'b2.cleanup_failed', kind: 'object', key: 'a.receipt.json', err: Error } }])
  t.equal(stage.told.length, 1)
  answers.busy = answers.broken = false
  stage.cleanup.retry()
  await stage.turns()
  t.same(stage.asked, ['a.receipt.json'])
})
