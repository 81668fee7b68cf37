import type { SweepOptions, RemovedLeftovers } from './owners/sweep.ts'
import { sweepLeftovers, sweepUndecided } from './owners/sweep.ts'
import { survey, type Survey } from './waiting/survey.ts'
import type { Tally } from './waiting/tally.ts'

/** After a survey, so many times as long as it took there is no other one: on the whole it costs next to nothing. */
const REST_RATIO = 50

/** Work on the directory in the background. It ends with the signal. */
export interface Upkeep {
  /** Removes what killed processes left. It does so once, however often it is called. */
  sweep (): void
  /** Measures what is to be promoted, which takes longer than counting. Does nothing if that was done lately. Never rejects. */
  measure (): Promise<void>
  /** Resolves when nothing is under way any more. */
  ended (): Promise<void>
}

export function createUpkeep (options: Omit<SweepOptions, 'survey'> & { tally: Tally }): Upkeep {
  const { signal, log } = options
  let sweeping: Promise<void> | undefined
  let surveying: Promise<Survey> | undefined
  let nextMeasurement = 0

  async function look (): Promise<Survey> {
    const began = performance.now()
    try {
      return await survey(options)
    } finally {
      const now = performance.now()
      nextMeasurement = now + REST_RATIO * (now - began)
      surveying = undefined
    }
  }

  async function runSweep (): Promise<void> {
    try {
      const how = { ...options, survey: async () => await (surveying ??= look()) }
      const { undecided, filesWithoutReceipt, ...removed } = await sweepLeftovers(how)
      logRemoved(removed)
      if (filesWithoutReceipt > 0) log.warn({ count: filesWithoutReceipt }, 'the local store holds files without a receipt; they are left alone')
      logRemoved(await sweepUndecided(how, undecided))
    } catch (err) {
      if (!signal.aborted) log.error({ err }, 'the local store could not be searched for leftovers')
    }
  }

  function logRemoved (removed: RemovedLeftovers): void {
    if (removed.partFilesRemoved + removed.receiptsRemoved > 0) log.info(removed, 'leftovers of interrupted uploads were removed')
  }

  return {
    sweep () {
      if (!signal.aborted) sweeping ??= runSweep()
    },

    async measure () {
      if (signal.aborted || (surveying === undefined && performance.now() < nextMeasurement)) return
      try {
        await (surveying ??= look())
      } catch (err) {
        if (!signal.aborted) log.error({ err }, 'the size of what waits in the local store could not be measured')
      }
    },

    async ended () {
      await sweeping
      await surveying?.catch(() => {})
    },
  }
}
