import { basename } from 'node:path'
import type { B2Emulator, RequestRecord } from '../emulator/index.ts'
import type { Uploads } from '../services/uploads.ts'
import type { B2Switch } from './b2-moods.ts'
import type { LiveState } from './live-state.ts'
import type { SeenFiles } from './seen-files.ts'

const LOOK_MS = 150

export interface Watched {
  b2: B2Emulator
  b2Switch: B2Switch
  files: SeenFiles
  uploads: () => Uploads
}

export interface Watch {
  /** Calls `listener` with the state as JSON, now and at every change; the function returned takes it away again. */
  listen (listener: (state: string) => void): () => void
  close (): void
}

/** Looks at the demo's state many times a second, while a page listens. */
export function createWatch ({ b2, b2Switch, files, uploads }: Watched): Watch {
  const listeners = new Set<(state: string) => void>()
  const writes = new Set<RequestRecord>()
  let last = ''
  let isLooking = false
  const offs = [
    b2.on('request', record => { if (['PutObject', 'UploadPart'].includes(record.operation)) writes.add(record) }),
    b2.on('response', record => { writes.delete(record) }),
  ]
  const timer = setInterval(() => { look().catch(() => {}) }, LOOK_MS).unref() // the service is closing: nothing to show any more

  async function look (): Promise<void> {
    if (isLooking || listeners.size === 0) return
    isLooking = true
    try {
      const state = JSON.stringify(await present())
      if (state !== last) for (const listener of listeners) listener(state)
      last = state
    } finally {
      isLooking = false
    }
  }

  async function present (): Promise<LiveState> {
    const { b2: { state, last_error }, pending_promotions } = await uploads().status()
    if (files.all.filter(({ storage }) => storage !== 'b2').length !== pending_promotions) await files.look(uploads())
    const keys = new Set([...writes].map(({ key }) => key))
    return {
      b2: b2Switch.mood,
      receiving: b2Switch.mood !== 'stalled' && keys.size > 0,
      circuit: state,
      last_error,
      pending_promotions,
      files: files.all.map(({ key, ...file }) => ({ ...file, name: basename(key), moving: file.storage !== 'b2' && keys.has(key) })),
    }
  }

  return {
    listen (listener) {
      listeners.add(listener)
      if (last !== '') listener(last)
      return () => { listeners.delete(listener) }
    },
    close () {
      clearInterval(timer)
      for (const off of offs) off()
    },
  }
}
