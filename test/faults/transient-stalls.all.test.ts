import t from 'tap'
import { reachesB2, STEPS } from '../support/faults/transient.ts'

for (const action of ['hang', 'stop-reading', 'lose-answer-hang'] as const) {
  t.test(`one stall (${action}) at every step is survived`, async t => {
    await reachesB2(t, STEPS.map(step => ({ ...step, action })), { stallMs: '1000' })
  })
}
