import t from 'tap'
import type { BodyOwner } from '../../../../services/b2/line/line.ts'
import { nextBody } from '../../../../services/b2/line/next-body.ts'
import type { WaitingBody } from '../../../../services/b2/line/next-body.ts'
import { fakeClock } from '../../../support/run/fake-clock.ts'

const MIB = 1_048_576
const TIMEOUT_MS = 10_000

const upload = (deadline: number, own: Partial<BodyOwner> = {}): BodyOwner => ({ isBackground: false, hasBegun: false, deadline, ...own })
const body = (owner: BodyOwner, bytes = 8 * MIB, askedAt = 0): WaitingBody => ({ owner, bytes, askedAt })

/** A line of one MiB a second. Of each upload that is `served` one body is on its way, and `left` bytes of them all. */
const line = ({ served = [upload(Infinity)], left = 0, meanRate = MIB / 1_000 }: { served?: BodyOwner[], left?: number, meanRate?: number } = {}) =>
  ({ meanRate, left, sending: new Set(served.map(owner => ({ owner }))) })

const next = (waiting: WaitingBody[], state = line(), mayGo = (): boolean => true): WaitingBody | undefined => nextBody(waiting, state, TIMEOUT_MS, mayGo)

t.test('the upload that gives up first comes first', t => {
  fakeClock(t)
  const [early, late] = [body(upload(9_000)), body(upload(9_500))]
  t.equal(next([late, early]), early)
  t.equal(next([late, early], line({ meanRate: 0 })), early, 'whether the rate is known or not')
  t.equal(next([]), undefined)
  t.end()
})

t.test('one whose client still sends is as urgent as one that has come by now', t => {
  fakeClock(t)
  const [sending, come] = [body(upload(Infinity), 8 * MIB, -1_000), body(upload(9_500))]
  t.equal(next([come, sending]), sending)
  t.end()
})

t.test('a small body comes before large ones, and one in the background after all others', t => {
  fakeClock(t)
  const [large, small, background] = [body(upload(9_000)), body(upload(9_500), MIB), body(upload(Infinity, { isBackground: true }))]
  t.equal(next([background, large, small]), small)
  t.equal(next([background, large]), large)
  t.equal(next([background], line(), () => false), undefined)
  t.end()
})

t.test('what comes too late is not sent', t => {
  fakeClock(t)
  const [late, inTime] = [body(upload(8_500)), body(upload(9_500))]
  t.equal(next([late, inTime]), inTime)
  t.equal(next([late], line({ meanRate: 0 })), late, 'unless nobody knows')
  t.equal(next([inTime], line({ left: MIB })), undefined)
  t.equal(next([late], line({ served: [] })), late, 'or while the line is idle and most of its time is left')
  t.equal(next([body(upload(4_500))], line({ served: [] })), undefined)
  t.end()
})

t.test('an upload of which a body is on its way leaves the line to others', t => {
  fakeClock(t)
  const [served, other] = [upload(8_000), upload(9_500)]
  t.equal(next([body(served, 2 * MIB), body(other, 2 * MIB)], line({ served: [served] }))!.owner, other)
  t.equal(next([body(served)], line({ served: [served] }))!.owner, served)
  t.end()
})

t.test('an upload of which B2 has a part is not made late', t => {
  fakeClock(t)
  const [begun, urgent] = [upload(9_800, { hasBegun: true }), upload(9_000)]
  t.equal(next([body(urgent, 4 * MIB), body(begun, 4 * MIB)])!.owner, urgent, 'there is time for both')
  t.equal(next([body(urgent), body(begun, 4 * MIB)])!.owner, begun)
  t.equal(next([body(urgent, 2 * MIB), body(begun, 8 * MIB)])!.owner, begun, 'nor one that could be in time this once, and not again and again')
  t.end()
})
