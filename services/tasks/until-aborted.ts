/**
 * Waits for work that can't be aborted, for example a host's callback, until `signal` fires at the latest. The work goes on then.
 * @throws what the work throws, or the reason of `signal`
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
