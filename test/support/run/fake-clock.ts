import type { Test } from 'tap'

export interface FakeClock {
  /** Milliseconds since the clock was made. */
  readonly now: number
  /** Timers that are running. */
  readonly timers: number
  /** Lets time pass; timers fire at their time. */
  advance (ms: number): void
}

interface Timer {
  at: number
  readonly ms: number
  readonly repeats: boolean
  readonly fire: () => void
}

/** Puts `values` in place of an object's own until the test ends. Unlike `t.intercept` it keeps no record of each use, which takes long. */
function replace (t: Test, object: object, values: object): void {
  const names = Object.keys(values) as never[]
  const before = names.map(name => Object.getOwnPropertyDescriptor(object, name))
  for (const name of names) Object.defineProperty(object, name, { value: values[name], configurable: true, writable: true })
  t.teardown(() => {
    for (const [index, descriptor] of before.entries()) {
      if (descriptor === undefined) delete object[names[index]!]
      else Object.defineProperty(object, names[index]!, descriptor)
    }
  })
}

/** `performance.now`, timeouts and intervals under the test's control until it ends. */
export function fakeClock (t: Test): FakeClock {
  const running = new Set<Timer>()
  let now = 0
  const start = (repeats: boolean) => (fire: () => void, ms: number): object => {
    const timer = {
      at: now + ms,
      ms,
      repeats,
      fire,
      ref: () => timer,
      unref: () => timer,
      refresh () {
        timer.at = now + ms
        running.add(timer)
        return timer
      },
    }
    running.add(timer)
    return timer
  }
  const stop = (timer?: Timer): void => { if (timer !== undefined) running.delete(timer) }
  replace(t, performance, { now: () => now })
  replace(t, globalThis, { setTimeout: start(false), setInterval: start(true), clearTimeout: stop, clearInterval: stop })

  function next (until: number): Timer | undefined {
    return [...running].filter(timer => timer.at <= until).sort((a, b) => a.at - b.at)[0]
  }

  return {
    get now () { return now },
    get timers () { return running.size },
    advance (ms) {
      const end = now + ms
      for (let timer = next(end); timer !== undefined; timer = next(end)) {
        now = timer.at
        if (timer.repeats) timer.at += timer.ms
        else running.delete(timer)
        timer.fire()
      }
      now = end
    },
  }
}
