import type { Test } from 'tap'
import type { TestService } from '../service/service.ts'

/** Resolves when nothing waits for promotion any more. */
export async function promoted (service: TestService, count: number): Promise<void> {
  await service.log.until(() => service.log.of('promotion.done').length >= count)
}

/** Lets so much time pass at once for the circuit. */
export function letPass (t: Test, milliseconds: number): void {
  const now = performance.now.bind(performance)
  performance.now = () => now() + milliseconds
  t.teardown(() => { performance.now = now })
}

export const circuitEvents = (service: TestService): unknown[] =>
  service.log.lines.filter(({ event }) => event?.startsWith('breaker.')).map(({ event }) => event)
