import type { PartFile } from './local-part-file.ts'

/** Several beats fit between the two looks of a sweep (SWEEP_DELAY_MS), so a busy process loses no file by missing one. */
const HEARTBEAT_MS = 1_000

/** Keeps the part files of this process fresh, which is how a sweep in another process knows that they are being written. */
export interface Heartbeat {
  add (file: PartFile): void
  delete (file: PartFile): void
  /** True while a file of this path is being written by this process. */
  has (path: string): boolean
}

/** The timer runs only while there is a file to keep fresh; it needs no end of its own beyond that of the files. */
export function createHeartbeat (): Heartbeat {
  const files = new Map<string, PartFile>()
  let timer: NodeJS.Timeout | undefined

  function beat (): void {
    for (const file of files.values()) file.touch()
  }

  return {
    add (file) {
      files.set(file.path, file)
      timer ??= setInterval(beat, HEARTBEAT_MS).unref()
    },

    delete (file) {
      if (files.get(file.path) === file) files.delete(file.path)
      if (files.size > 0) return
      clearInterval(timer)
      timer = undefined
    },

    has: path => files.has(path)
  }
}
