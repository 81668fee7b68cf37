import type { Test } from 'tap'

/**
 * While the test runs, requests of this process are tried again at once: their pauses are drawn from zero to a bound, and it is zero that is drawn.
 * test/services/b2/http/retry-strategy.test.ts tests the pauses.
 */
export function drawNoPauses (t: Test): void {
  t.intercept(Math, 'random', { value: () => 0 })
}
