/** Returns a function that runs tasks in the order of its calls, each when the one before has ended, however that ended. */
export function oneAtATime (): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return task => {
    const run = last.then(task)
    last = run.catch(() => {})
    return run
  }
}
