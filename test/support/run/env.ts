import type { Test } from 'tap'

/** Sets variables of this process until the test is over: other files run in it, too. */
export function setEnv (t: Test, variables: Record<string, string>): void {
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name]
    process.env[name] = value
    t.teardown(() => {
      if (before === undefined) delete process.env[name]
      else process.env[name] = before
    })
  }
}
