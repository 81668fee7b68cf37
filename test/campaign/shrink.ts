import type { Script } from './script.ts'

/**
 * Looks for a shorter script that fails in the same way, by leaving out ever smaller runs of steps (delta debugging). What
 * depends on the moment may not come again each time: then a step more stays.
 * @param isSame whether a script fails in that way
 * @param limitMs no script is tried after so long
 */
export async function shrink (script: Script, isSame: (shorter: Script) => Promise<boolean>, limitMs: number): Promise<Script> {
  const end = Date.now() + limitMs
  let { steps } = script
  for (let length = Math.ceil(steps.length / 2); length >= 1; length = length === 1 ? 0 : Math.ceil(length / 2)) {
    for (let start = 0; start < steps.length;) {
      if (Date.now() >= end) return { ...script, steps }
      const shorter = steps.filter((_step, index) => index < start || index >= start + length)
      if (await isSame({ ...script, steps: shorter })) steps = shorter
      else start += length
    }
  }
  return { ...script, steps }
}
