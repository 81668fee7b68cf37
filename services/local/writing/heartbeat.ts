/** Several beats fit between the two checks of a sweep (SWEEP_DELAY_MS). */
const HEARTBEAT_MS = 1_000

/** A file that counts only while it is kept fresh: a part file, a claim. */
export interface LiveFile {
  readonly path: string
  /** Never rejects. */
  touch (): Promise<void>
}

/** Knows the live files of this process, and keeps them fresh for processes that can't ask it (see owners.ts). */
export interface Heartbeat {
  /** Creates a live file. It belongs to this process from the call on; `add` has to follow at once. */
  creating<T> (path: string, create: () => Promise<T>): Promise<T>
  add (file: LiveFile): void
  delete (file: LiveFile): void
  /** True while a file of this path belongs to this process. */
  has (path: string): boolean
}

export interface HeartbeatOptions {
  /** Awaited before each live file that is the only one. Never rejects. */
  announce: () => Promise<void>
  /** Called with each beat. Never rejects. */
  touch: () => Promise<void>
}

/** The timer runs only while there is a file to keep fresh. */
export function createHeartbeat ({ announce, touch }: HeartbeatOptions): Heartbeat {
  const files = new Map<string, LiveFile>()
  /** One entry for each call. */
  const beginning = new Set<{ path: string }>()
  let announced: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined

  function beat (): void {
    void touch()
    for (const file of files.values()) void file.touch()
  }

  /** Without live files, others may take this process for a dead one. */
  function forget (): void {
    if (files.size === 0 && beginning.size === 0) announced = undefined
  }

  return {
    async creating (path, create) {
      const entry = { path }
      beginning.add(entry)
      try {
        await (announced ??= announce())
        return await create()
      } catch (error) {
        beginning.delete(entry)
        forget()
        throw error
      } finally {
        beginning.delete(entry)
      }
    },

    add (file) {
      files.set(file.path, file)
      timer ??= setInterval(beat, HEARTBEAT_MS).unref()
    },

    delete (file) {
      if (files.get(file.path) === file) files.delete(file.path)
      if (files.size > 0) return
      clearInterval(timer)
      timer = undefined
      forget()
    },

    has: path => files.has(path) || [...beginning].some(entry => entry.path === path)
  }
}
