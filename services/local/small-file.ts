import { dirname } from 'node:path'
import { syncDirectory, type FileSystem } from './directory.ts'
import type { Heartbeat } from './writing/heartbeat.ts'
import type { Log } from '../log.ts'
import { PartFile } from './writing/part-file.ts'

export interface SmallFileTools {
  fs: FileSystem
  heartbeat: Heartbeat
  log: Log
}

/**
 * Writes a value as JSON to a file of its own, durably, at one stroke; it replaces a file that has the name already.
 * Whatever it throws, nothing is left.
 * @param partPath where it is written first, in the same directory
 */
export async function writeSmallFile ({ fs, heartbeat, log }: SmallFileTools, partPath: string, finalPath: string, value: object): Promise<void> {
  const text = Buffer.from(`${JSON.stringify(value)}\n`)
  const file = await heartbeat.creating(partPath, () => PartFile.create(fs, partPath))
  heartbeat.add(file)
  try {
    await file.write(text)
    await file.sync()
    await file.rename(finalPath)
    await syncDirectory(fs, dirname(finalPath))
  } catch (error) {
    for (const err of await file.remove()) log.warn({ err }, 'a note in the local store that could not be written could not be cleaned up')
    throw error
  } finally {
    heartbeat.delete(file)
  }
  // The bytes were synced before; a failing close takes nothing back.
  await file.close().catch((err: unknown) => log.warn({ err }, 'a stored file could not be closed'))
}
