import t from 'tap'
import type { Test } from 'tap'
import { LineSimulation } from '../../../support/b2/line-simulation.ts'
import type { Outcome, SimulatedLine, SimulatedUploads } from '../../../support/b2/line-simulation.ts'

const KIB = 1_024
const MIB = 1_048_576

interface Row extends Omit<SimulatedLine, 'bytesPerSecond'> {
  readonly bytesPerSecond: number | ((ms: number) => number)
  /** Default: the usual 45 seconds. */
  readonly timeoutMs?: number
  readonly uploads: SimulatedUploads | readonly SimulatedUploads[]
  /** Uploads that are in B2. */
  readonly inB2: number
  /** Default: none. */
  readonly wastedBytes?: number
}

function row (name: string, { uploads, inB2, wastedBytes = 0, timeoutMs = 45_000, ...line }: Row, more?: (t: Test, outcome: Outcome) => void): void {
  t.test(name, async t => {
    const { bytesPerSecond } = line
    const stage = new LineSimulation(t, { ...line, bytesPerSecond: typeof bytesPerSecond === 'number' ? () => bytesPerSecond : bytesPerSecond }, timeoutMs)
    const outcome = await stage.run(...[uploads].flat())
    t.ok(outcome.inB2 >= inB2, `${outcome.inB2} in B2`)
    t.ok(outcome.wastedBytes <= wastedBytes + 1, `${Math.ceil(outcome.wastedBytes)} bytes wasted`)
    t.equal(outcome.hasFailed, false, 'it was no outage')
    more?.(t, outcome)
  })
}

// As many as fit.
row('files of one body', { bytesPerSecond: 2e6, uploads: { count: 24, bytes: 8 * MIB }, inB2: 10 })
row('one of which one fits', { bytesPerSecond: 1e6, timeoutMs: 5_000, uploads: { count: 16, bytes: 4 * MIB }, inB2: 1 })
row('small files', { bytesPerSecond: 2e6, timeoutMs: 10_000, uploads: { count: 500, bytes: 200_000 }, inB2: 94, wastedBytes: MIB })
row('a rate that is never the same', { bytesPerSecond: ms => 2e6 + 0.8e6 * Math.sin(ms / 1_500) + 0.4e6 * Math.sin(ms / 310), uploads: { count: 24, bytes: 8 * MIB }, inB2: 10 })
row('a line that gets slow', { bytesPerSecond: ms => ms < 20_000 ? 4e6 : 1e6, uploads: { count: 24, bytes: 8 * MIB }, inB2: 11, wastedBytes: 8 * MIB })
row('a line that gets fast', { bytesPerSecond: ms => ms < 20_000 ? 0.5e6 : 4e6, uploads: { count: 24, bytes: 8 * MIB }, inB2: 12 })
row('a line that stops for a moment', { bytesPerSecond: ms => ms > 10_000 && ms < 14_000 ? 0 : 3e6, uploads: { count: 24, bytes: 8 * MIB }, inB2: 13 })
row('more than fit, for long', { bytesPerSecond: 2e6, uploads: { count: 40, bytes: 8 * MIB, everyMs: 2_000 }, inB2: 27, wastedBytes: 8 * MIB })

// In parts, each of which gives its upload more time.
row('files in parts that all fit', { bytesPerSecond: 2e6, timeoutMs: 20_000, uploads: { count: 3, bytes: 20 * MIB }, inB2: 3 })
row('many of them', { bytesPerSecond: 8e6, timeoutMs: 11_250, uploads: { count: 10, bytes: 20 * MIB }, inB2: 10 })
row('more than fit of them', { bytesPerSecond: 8e6, timeoutMs: 11_250, uploads: { count: 24, bytes: 20 * MIB }, inB2: 10, wastedBytes: 12 * MIB })
row('large files and their receipts', { bytesPerSecond: 4e6, timeoutMs: 4_500, uploads: [{ count: 6, bytes: 10 * MIB }, { count: 6, bytes: 328 }], inB2: 8, wastedBytes: 2 * MIB })

// Nobody waits for long without a reason.
row('small files among large ones', {
  bytesPerSecond: 2e6, uploads: [{ count: 12, bytes: 8 * MIB }, { count: 20, bytes: 100 * KIB, everyMs: 1_000 }], inB2: 30,
}, (t, { times }) => t.ok(times.filter(ms => ms < 1_000).length === 20))
row('connections that are slow each', { bytesPerSecond: 1e9, bytesPerSecondEach: 1e6, uploads: { count: 16, bytes: 8 * MIB }, inB2: 16 },
  (t, { lastInB2 }) => t.ok(lastInB2 < 25_000, `${lastInB2} ms`))
row('a fast line', { bytesPerSecond: 1e8, answerMs: 100, uploads: { count: 200, bytes: 5 * MIB }, inB2: 200 }, (t, { lastInB2, looks }) => {
  t.ok(lastInB2 < 10_900, `${lastInB2} ms, of which the line needs 10.5 seconds`)
  t.ok(looks < 40, `${looks} looks`)
})
row('a fast line that is far away', { bytesPerSecond: 1e8, answerMs: 300, uploads: { count: 8, bytes: 5 * MIB }, inB2: 8 },
  (t, { lastInB2 }) => t.ok(lastInB2 < 1_200, `${lastInB2} ms`))
row('one file after the other on a fast line', { bytesPerSecond: 1e8, answerMs: 50, uploads: { count: 100, bytes: 5 * MIB, everyMs: 200 }, inB2: 100 },
  (t, { looks }) => t.equal(looks, 0))
row('uploads beside promotion', {
  bytesPerSecond: 2e6, uploads: [{ count: 2, bytes: 64 * MIB, isBackground: true }, { count: 8, bytes: 4 * MIB, everyMs: 3_000 }], inB2: 10,
}, (t, { times }) => t.ok(times.filter(ms => ms < 10_000).length >= 8))
