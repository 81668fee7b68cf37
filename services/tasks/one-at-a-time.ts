/** Returns a function that runs tasks in the order of the calls, each once the one before it has ended, however that ended. */
export function oneAtATime (): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return task => {
    const run = last.then(task)
    last = run.catch(() => {})
    return run
  }
}
