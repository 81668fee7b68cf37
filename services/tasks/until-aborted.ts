/**
 * Waits for what can't be ended from here, a host's callback say, but no longer than until `signal` fires. It is left to itself then.
 * @throws what it failed with, or the reason of `signal`
 */
export async function untilAborted<T> (work: T | Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => {}
  const aborted = new Promise<never>((_resolve, reject) => { onAbort = () => reject(signal.reason) })
  signal.addEventListener('abort', onAbort)
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
