import type { Test } from 'tap'
import { startB2 } from '../support/service/service.ts'
import type { Target } from './target.ts'

/** The emulator as a target: it has no differences of its own from what Backblaze documents. */
export async function emulatorTarget (t: Test): Promise<Target> {
  const b2 = await startB2(t)
  const { endpoint, region, bucket, credentials } = b2
  return {
    name: 'the emulator',
    endpoint,
    region,
    bucket,
    credentials,
    prefix: 'contract/',
    // The normal suite has the others elsewhere.
    sizes: [0, 1, 8_388_608, 8_388_609],
    differs: new Set(),
    outage: {
      stallMs: 300,
      kill: async () => await b2.refuseConnections(),
      revive: async () => await b2.acceptConnections(),
      freeze () { b2.fault({ action: 'hang', times: Infinity }) },
      thaw () { b2.clearFaults() },
    },
  }
}
