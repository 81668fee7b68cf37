import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { exists, ifThere, stampOf, type FileSystem } from '../../disk/file-system.ts'
import type { Seen } from '../owners/live-files.ts'
import { kindOf, placeIn, type LocalPlace } from '../names.ts'
import type { Tally } from './tally.ts'
import { filesBelow } from '../walk.ts'

/** Files of each kind that are remembered; the next survey finds the rest. */
const MOST_FOUND = 10_000

/** Milliseconds of pause for each millisecond of work: a long directory must not keep uploads waiting. */
const PAUSE_RATIO = 1

export interface SeenOfFile extends Seen {
  place: LocalPlace
}

/** Files that miss their counterpart. */
export interface Survey {
  /** Receipts without their file. */
  receipts: SeenOfFile[]
  /** Notes without a file. */
  notes: SeenOfFile[]
  /** Number of data files without a receipt; roughly, as files come and go meanwhile. */
  surplusDataFiles: number
}

export interface SurveyOptions {
  fs: FileSystem
  /** Absolute path. */
  root: string
  tally: Tally
  /** Stops it: it rejects with the signal's reason. */
  signal: AbortSignal
}

/**
 * Looks at each file once, slowly, so that nothing has to wait for it: adds up how many bytes wait, and finds files without their
 * counterpart.
 */
export async function survey ({ fs, root, tally, signal }: SurveyOptions): Promise<Survey> {
  const found: Survey = { receipts: [], notes: [], surplusDataFiles: 0 }
  const measurement = tally.measure()

  async function look (directory: string, prefix: string, fileName: string): Promise<void> {
    const file = kindOf(fileName)
    if (file === undefined || file.kind === 'live') return
    if (file.kind === 'data' || file.kind === 'rest') {
      found.surplusDataFiles++
      return
    }
    const place = placeIn(directory, file.name)
    if (file.kind === 'receipt') {
      const data = await ifThere(fs.lstat(place.data)) ?? await ifThere(fs.lstat(place.rest))
      if (data !== undefined) {
        found.surplusDataFiles--
        measurement.saw(`${prefix}${file.name}`, data.size)
        return
      }
    } else if (await exists(fs, place.data) || await exists(fs, place.rest)) {
      return
    }
    const list = file.kind === 'note' ? found.notes : found.receipts
    if (list.length >= MOST_FOUND) return
    const path = join(directory, fileName)
    list.push({ path, stamp: await stampOf(fs, path), place })
  }

  try {
    for await (const { directory, prefix, files } of filesBelow(fs, root, () => {})) {
      let since = performance.now()
      for (const [index, fileName] of files.entries()) {
        signal.throwIfAborted()
        await look(directory, prefix, fileName).catch(() => {}) // gone meanwhile, or can't be read
        if (index % 100 < 99) continue
        await sleep((performance.now() - since) * PAUSE_RATIO, undefined, { signal, ref: false })
        since = performance.now()
      }
    }
    measurement.end()
    return found
  } finally {
    measurement.cancel()
  }
}
