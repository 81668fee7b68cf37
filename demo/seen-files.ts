import { basename } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Receipt } from '../services/receipt.ts'
import type { Uploads } from '../services/uploads.ts'

interface SeenFile {
  readonly id: string
  readonly key: string
  readonly first: Receipt['storage']
  storage: Receipt['storage']
}

/** The files that were stored while the demo ran. */
export interface SeenFiles {
  /** Oldest first. */
  readonly all: readonly SeenFile[]
  /** Asks where the files are that were not in B2, or not wholly, the last time. */
  look (uploads: Uploads): Promise<void>
}

/** Watches what uploads and deletions are answered with; to be called before the service's routes are there. */
export function watchAnswers (app: FastifyInstance): SeenFiles {
  const files = new Map<string, SeenFile>()

  app.addHook('onSend', async ({ id, method, url }, reply, payload) => {
    if ([201, 202].includes(reply.statusCode) && typeof payload === 'string') {
      const { storage, track: { key } } = JSON.parse(payload) as Receipt
      const isTaken = [...files.values()].some(file => file.id === id)
      files.set(basename(key), { id: isTaken ? basename(key) : id, key, first: storage, storage })
    }
    if (method === 'DELETE' && reply.statusCode === 204) files.delete(basename(url))
  })

  return {
    get all () { return [...files.values()] },
    async look (uploads) {
      for (const [name, file] of files) {
        if (file.storage === 'b2') continue
        try {
          file.storage = (await uploads.receipt(name)).storage
        } catch {} // it has moved, and B2 is out of reach: the next look will tell
      }
    },
  }
}
