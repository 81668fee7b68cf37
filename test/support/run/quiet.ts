import type { B2Emulator } from '../../../emulator/index.ts'

/** Resolves when no request is under way and no unfinished upload is left; to be called when the uploads have ended. */
export async function quiet (b2: B2Emulator): Promise<void> {
  while (b2.unfinishedUploads().length > 0 || b2.requests.some(({ outcome }) => outcome === 'pending')) {
    await b2.waitFor('response')
  }
}
