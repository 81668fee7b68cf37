import type { B2Emulator, Fault, Throttle } from '../emulator/index.ts'
import type { B2Mood } from './live-state.ts'

interface Trouble {
  throttle?: Throttle
  fault?: Fault
  /** Nobody listens. */
  refuses?: true
  /** What is under way ends: requests that have begun would not meet the fault otherwise. */
  cuts?: true
  /** Connections don't notice that their client has gone, so they have to end with it. */
  clogs?: true
}

const WRITES = ['PutObject', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'] as const

const TROUBLES: Record<B2Mood, Trouble> = {
  healthy: {},
  // A part takes less than the 45 seconds after which an upload that B2 has acknowledged nothing of falls back.
  slow: { throttle: { bytesPerSecond: 400_000, latencyMs: 1_000 } },
  '503s': { fault: { status: 503, times: Infinity }, cuts: true },
  'wrong-key': { fault: { status: 403, code: 'InvalidAccessKeyId', message: 'The key is not valid', times: Infinity }, cuts: true },
  'cap-exceeded': {
    fault: {
      operation: WRITES,
      status: 403,
      message: 'Cannot upload files, storage cap exceeded. See the Caps & Alerts page to increase your cap.',
      times: Infinity,
    },
    cuts: true,
  },
  // The throttle is for the bodies under way.
  stalled: { fault: { action: 'stop-reading', times: Infinity }, throttle: { bytesPerSecond: 1 }, clogs: true },
  down: { refuses: true },
}

export const B2_MOODS = Object.keys(TROUBLES) as B2Mood[]

export interface B2Switch {
  readonly mood: B2Mood
  /** Breaks B2, or mends it; resolves when it is so. */
  turn (mood: B2Mood): Promise<void>
}

/** The switch that breaks an emulated B2 on purpose. */
export function createB2Switch (b2: B2Emulator): B2Switch {
  let mood: B2Mood = 'healthy'
  let last = Promise.resolve()

  async function turn (next: B2Mood): Promise<void> {
    const { throttle, fault, refuses, cuts } = TROUBLES[next]
    b2.clearFaults()
    b2.throttle(throttle ?? null)
    if (fault !== undefined) b2.fault(fault)
    if (refuses || cuts || TROUBLES[mood].clogs) await b2.refuseConnections()
    if (!refuses) await b2.acceptConnections()
    mood = next
  }

  return {
    get mood () { return mood },
    async turn (next) {
      last = last.catch(() => {}).then(() => turn(next))
      await last
    },
  }
}
