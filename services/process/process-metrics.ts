import { collectDefaultMetrics, Registry } from 'prom-client'

let registry: Registry | undefined

/** What prom-client measures of every process. Once in each: what it watches it watches to the end. */
export function processMetrics (): Registry {
  if (registry === undefined) {
    registry = new Registry()
    collectDefaultMetrics({ register: registry })
  }
  return registry
}
