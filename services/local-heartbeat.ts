/** Several beats fit between the two looks of a sweep (SWEEP_DELAY_MS), so a busy process loses no file by missing one. */
const HEARTBEAT_MS = 1_000

/** A file that means something only while it is kept fresh: a part file, a claim. */
export interface LiveFile {
  readonly path: string
  /** Never rejects. */
  touch (): Promise<void>
}

/** Keeps the live files of this process fresh, which is how another process knows that they have an owner. */
export interface Heartbeat {
  add (file: LiveFile): void
  delete (file: LiveFile): void
  /** True while a file of this path belongs to this process. */
  has (path: string): boolean
}

/** The timer runs only while there is a file to keep fresh; it needs no end of its own beyond that of the files. */
export function createHeartbeat (): Heartbeat {
  const files = new Map<string, LiveFile>()
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
