export type EndSignal = 'SIGINT' | 'SIGTERM'

const SAME_SIGNAL_MS = 2_000

/**
 * Calls `first` at the first signal that asks the process to end, and `again` at each that comes more than two seconds
 * later: one Ctrl-C may come twice, from the terminal and from npm, and must not be taken for impatience.
 */
export function onEndSignal (first: (signal: EndSignal) => void, again: (signal: EndSignal) => void): void {
  let firstAt: number | undefined
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (firstAt === undefined) {
        firstAt = performance.now()
        first(signal)
      } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
        again(signal)
      }
    })
  }
}
