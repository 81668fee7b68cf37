import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errnoOf } from '../../disk/errors.ts'
import { ifThere, stampOf, type FileSystem } from '../../disk/file-system.ts'
import { toLocalStoreError } from '../errors.ts'
import type { Heartbeat } from '../writing/heartbeat.ts'
import type { Log } from '../../log.ts'
import { placeOf, temporaryName, type LocalPlace } from '../names.ts'
import type { Owners } from '../owners/owners.ts'
import { PartFile } from '../../disk/part-file.ts'

/** As long as the sweep waits, for the same reasons. */
export const CLAIM_DELAY_MS = 5_000

/** Checks of another owner's claim in that time; many, as a pause of the process or machine makes at most one worthless. */
const LOOKS = 10

/** Claims of other owners that are remembered; beyond that, the waiting begins anew. */
const MOST_SUSPECTED = 1_000

/** The modification time of a receipt whose file is promoted without a claim. It stays, as several processes may do that. */
const UNCLAIMED = new Date(1_000)

const FULL = new Set(['ENOSPC', 'EDQUOT'])

/** A key that belongs to this owner alone until it is released. */
export interface Claim {
  /** False: the disk had no room for it, so that others may have the same, and the file's receipt is marked instead. */
  readonly isKnown: boolean
  /** Never rejects, and may be called again. */
  release (): Promise<void>
}

export interface Claims {
  /**
   * Claims a key for one owner among all processes on the directory. Undefined: another owner has it, or there is no such
   * directory. It answers at once if the key is free or this process has it, within about a second if another owner lives, and
   * after `claimDelayMs`, by taking over, if that one died. An owner that can't be asked, as it is elsewhere, is given time from
   * call to call. A claim says nothing about the file: call `find` afterwards.
   *
   * There is at most one owner, with two exceptions: a process that can't be asked stands still for minutes and continues, or the
   * disk is too full for the claim itself (files must still leave it then). Two owners upload the same bytes under the same key.
   * Each verifies what B2 has before it removes the file here, and removes nothing of the other's from B2: it costs traffic, but
   * no file.
   * @param stop stops the waiting for another owner: undefined
   * @param waits false: it does not find out whether another owner lives, but answers at once. Default true
   * @throws LocalStoreError
   */
  claim (key: string, stop?: AbortSignal, waits?: boolean): Promise<Claim | undefined>
  /** Whether there is a claim of another process, which may be dead: {@link claim} tells. @throws LocalStoreError */
  isClaimedElsewhere (key: string): Promise<boolean>
  /** Whether a process may be promoting the file, or may have, without room for a claim. @throws LocalStoreError */
  mayBeUnclaimed (key: string): Promise<boolean>
  /** Releases all claims. */
  close (): Promise<void>
}

export interface ClaimsOptions {
  fs: FileSystem
  /** Absolute path. */
  root: string
  heartbeat: Heartbeat
  owners: Owners
  /** Time for which a claim must look the same to be taken over. */
  delayMs: number
  /** Stops all waiting for other owners. */
  signal: AbortSignal
  log: Log
}

/**
 * Claims among all processes on a directory: a file per key that its owner creates (O_EXCL), keeps fresh and removes. An owner
 * that can be asked says whether it has the claim, and one that stands still is waited for. An abandoned claim looks the same for
 * a while, and is replaced by a rename, so that there is always a claim, and a third process can't create one. Checks are compared
 * with each other, never with a clock, as in the sweep.
 */
export function createClaims ({ fs, root, heartbeat, owners, delayMs, signal, log }: ClaimsOptions): Claims {
  /** The keys that this process has claimed, or is claiming. */
  const ours = new Set<string>()
  const held = new Set<Claim>()
  /** Claims that may belong to owners that can't be asked: how each looks, and since when. */
  const suspected = new Map<string, { stamp: string, since: number }>()
  const pauseMs = delayMs / LOOKS

  async function claim (key: string, stop?: AbortSignal, waits = true): Promise<Claim | undefined> {
    const place = placeOf(root, key)
    if (ours.has(key) || isStopped()) return undefined
    ours.add(key)
    // Not AbortSignal.any: in Node.js 20 the store's signal would remember each of a million claims.
    const ended = new AbortController()
    const end = (): void => ended.abort()
    signal.addEventListener('abort', end)
    stop?.addEventListener('abort', end)
    try {
      const file = await take(place, ended.signal, waits)
      if (file !== undefined) return hold(key, place.claim, file)
    } catch (cause) {
      // Promotion makes room on a full disk, so it continues there without a claim that others can see.
      if (FULL.has(errnoOf(cause) ?? '')) return await holdUnknown(key, place)
      if (errnoOf(cause) !== 'ENOENT' && !isStopped()) {
        ours.delete(key)
        throw toLocalStoreError(cause, 'The file could not be claimed in local storage')
      }
    } finally {
      signal.removeEventListener('abort', end)
      stop?.removeEventListener('abort', end)
    }
    ours.delete(key)
    return undefined

    function isStopped (): boolean {
      return signal.aborted || stop?.aborted === true
    }
  }

  /** Marks the receipt. The promotion looks for the file after this, while a deletion removes the file and then looks for the mark. */
  async function holdUnknown (key: string, place: LocalPlace): Promise<Claim> {
    try {
      await fs.utimes(place.receipt, UNCLAIMED, UNCLAIMED) // this takes no room
    } catch (cause) {
      if (errnoOf(cause) !== 'ENOENT') { // without a receipt there is no file either
        ours.delete(key)
        throw toLocalStoreError(cause, 'The file could not be claimed in local storage')
      }
    }
    return hold(key, place.claim, undefined)
  }

  async function mayBeUnclaimed (key: string): Promise<boolean> {
    try {
      return (await ifThere(fs.stat(placeOf(root, key).receipt)))?.mtimeMs === UNCLAIMED.getTime()
    } catch (cause) {
      throw toLocalStoreError(cause, 'The file\'s receipt could not be looked at in local storage')
    }
  }

  async function isClaimedElsewhere (key: string): Promise<boolean> {
    const { claim: path } = placeOf(root, key)
    if (ours.has(key)) return false
    try {
      return await look(path) !== undefined
    } catch (cause) {
      throw toLocalStoreError(cause, 'The file\'s claim could not be looked at in local storage')
    }
  }

  async function take (place: LocalPlace, stopped: AbortSignal, waits: boolean): Promise<PartFile | undefined> {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        return await heartbeat.creating(place.claim, () => PartFile.create(fs, place.claim))
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST') throw error
      }
      if (!waits) return undefined
      const state = await watch(place.claim, stopped)
      if (state === 'alive') return undefined
      if (state === 'dead') return await heartbeat.creating(place.claim, () => takeOver(place, stopped))
    }
    return undefined
  }

  async function watch (path: string, stopped: AbortSignal): Promise<'alive' | 'dead' | 'gone'> {
    const first = await look(path)
    if (first === undefined) return 'gone'
    const { alive, isSilent, patienceMs } = await owners.ask([path])
    if (alive.has(path) || isSilent || !isPatientEnough(path, first, patienceMs)) return 'alive'
    for (let looks = 0; looks < LOOKS; looks++) {
      await sleep(pauseMs, undefined, { signal: stopped })
      const now = await look(path)
      if (now !== first) return now === undefined ? 'gone' : 'alive'
    }
    return 'dead'
  }

  /** Whether it has looked the same for so long. The time passes between calls, so that no caller waits for it. */
  function isPatientEnough (path: string, stamp: string, patienceMs: number): boolean {
    const before = suspected.get(path)
    suspected.delete(path)
    if (patienceMs === 0) return true
    const now = performance.now()
    const same = before?.stamp === stamp ? before : { stamp, since: now }
    if (now - same.since >= patienceMs) return true
    if (suspected.size >= MOST_SUSPECTED) suspected.clear()
    suspected.set(path, same)
    return false
  }

  async function look (path: string): Promise<string | undefined> {
    return await ifThere(stampOf(fs, path))
  }

  async function takeOver (place: LocalPlace, stopped: AbortSignal): Promise<PartFile | undefined> {
    const file = await PartFile.create(fs, join(place.directory, temporaryName('claim')))
    let won = false
    try {
      await file.rename(place.claim)
      // Another process may have found the claim dead at the same moment: the last to rename has it.
      await sleep(pauseMs, undefined, { signal: stopped })
      won = await file.isAt(place.claim)
    } finally {
      if (!won) await drop(file, place.claim)
    }
    return won ? file : undefined
  }

  function hold (key: string, path: string, file: PartFile | undefined): Claim {
    const live = file && { path, touch: () => file.touch() }
    if (live !== undefined) heartbeat.add(live)
    let released: Promise<void> | undefined

    async function release (): Promise<void> {
      if (live !== undefined) heartbeat.delete(live)
      if (file !== undefined) await drop(file, path)
      held.delete(claim)
      ours.delete(key)
    }

    const claim: Claim = {
      isKnown: file !== undefined,
      release () {
        released ??= release()
        return released
      }
    }
    held.add(claim)
    return claim
  }

  /** Removes the claim, unless it is another's by now. */
  async function drop (file: PartFile, claimPath: string): Promise<void> {
    for (const path of new Set([file.path, claimPath])) {
      try {
        if (await file.isAt(path)) await fs.unlink(path)
      } catch (err) {
        if (errnoOf(err) !== 'ENOENT') log.warn({ err, claim: path }, 'a claim in the local store could not be removed; it will be taken over')
      }
    }
    await file.close().catch((err: unknown) => log.warn({ err, claim: claimPath }, 'a claim in the local store could not be closed'))
  }

  async function close (): Promise<void> {
    await Promise.all(Array.from(held, claim => claim.release()))
  }

  return { claim, isClaimedElsewhere, mayBeUnclaimed, close }
}
