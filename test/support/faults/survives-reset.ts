import t from 'tap'
import { reachesB2, STEPS } from './transient.ts'

export function survivesReset (at: 'before-body' | 'during-body' | 'after-body'): void {
  t.test(`one reset ${at} at every step is survived`, async t => {
    await reachesB2(t, STEPS.map(step => ({ ...step, action: 'reset', at })))
  })
}
