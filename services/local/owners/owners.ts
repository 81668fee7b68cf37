import { randomUUID } from 'node:crypto'
import { join, relative } from 'node:path'
import { errnoOf } from '../../disk/errors.ts'
import { ifThere, type FileSystem } from '../../disk/file-system.ts'
import { answerQuestions, askOwner, machineId, type OwnerSocket } from './owner-socket.ts'
import type { Log } from '../../log.ts'

/** In the store's directory. Each owner has an empty directory in it, which no listing of files counts. */
const OWNERS = '.owners'

const ENTRY = /^([0-9a-f]{16}|elsewhere)\.([0-9a-f-]{36})\.(\d{1,9})$/

/** Stands for the machine of a process that no other process can ask. */
const ELSEWHERE = 'elsewhere'

/** What is known about the owners of some live files. */
export interface Inquiry {
  /** Files that a living process says it has. */
  readonly alive: ReadonlySet<string>
  /** True if a living process did not answer: any of the others may be its. */
  readonly isSilent: boolean
  /**
   * Any of the others may belong to a process on another machine or in another container, which can't be asked. A file that looks
   * the same for so many milliseconds has no owner. 0: there is no such process.
   */
  readonly patienceMs: number
  /** Processes that are certainly dead; to be removed from the register once their files are gone. */
  readonly dead: readonly string[]
  /** Processes that can't be asked. */
  readonly elsewhere: readonly string[]
}

/**
 * The processes that have live files (part files, claims) in the directory. A process must not lose its files through a pause of
 * any length, of itself, its disk or its thread pool, so others ask it rather than check how fresh the files are.
 */
export interface Owners {
  /** Registers this process. Await it before a live file if the process has no other one. Never rejects. */
  announce (): Promise<void>
  /** Shows processes that can't ask it that it lives. Never rejects. */
  touch (): Promise<void>
  /** Asks all other owners about files, by their absolute paths. Rejects if the register can't be read. */
  ask (paths: readonly string[]): Promise<Inquiry>
  /** Path of an owner's entry in the register. */
  entry (owner: string): string
  /** Removes this process from the register. Never rejects. */
  close (): Promise<void>
}

export interface OwnersOptions {
  fs: FileSystem
  /** Absolute path. */
  root: string
  /** Milliseconds for which this process may stand still and then continue. */
  patienceMs: number
  /** True for a live file of this process. */
  isOurs: (path: string) => boolean
  log: Log
}

export function createOwners ({ fs, root, patienceMs, isOurs, log }: OwnersOptions): Owners {
  const register = join(root, OWNERS)
  let opened: Promise<{ entry: string, socket: OwnerSocket | undefined }> | undefined
  let isTouching = false
  let isTold = false

  async function open () {
    const id = randomUUID()
    const machine = machineId()
    const socket = machine === undefined ? undefined : await answerQuestions(id, path => isOurs(join(root, path)))
    return { entry: join(register, `${socket === undefined ? ELSEWHERE : machine}.${id}.${patienceMs}`), socket }
  }

  async function announce (): Promise<void> {
    try {
      const { entry } = await (opened ??= open())
      await makeEntry(entry)
    } catch (err) {
      if (!isTold && errnoOf(err) !== 'ENOENT') log.warn({ err }, 'this process could not be registered in the local store; if it stands still for seconds, other processes may take its files for abandoned')
      isTold = true
    }
  }

  async function makeEntry (entry: string): Promise<void> {
    // Another process may remove the register between the two.
    for (let attempt = 0; attempt < 3; attempt++) {
      if (await make(register) && await make(entry)) return
    }
  }

  /** False if its parent is gone. */
  async function make (directory: string): Promise<boolean> {
    try {
      await fs.mkdir(directory)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false
      if (errnoOf(error) !== 'EEXIST') throw error
    }
    return true
  }

  async function touch (): Promise<void> {
    if (opened === undefined || isTouching) return
    isTouching = true
    const { entry } = await opened
    const now = new Date()
    await fs.utimes(entry, now, now).catch(() => {})
    isTouching = false
  }

  async function ask (paths: readonly string[]): Promise<Inquiry> {
    const own = await opened
    const alive = new Set<string>()
    const dead: string[] = []
    const elsewhere: string[] = []
    let isSilent = false
    let patience = 0
    const names = paths.map(path => relative(root, path))

    async function askOne (owner: string): Promise<void> {
      const [, machine, id, ms] = ENTRY.exec(owner) ?? []
      if (id === undefined || join(register, owner) === own?.entry) return
      if (machine !== machineId()) {
        elsewhere.push(owner)
        patience = Math.max(patience, Number(ms))
        return
      }
      const answer = await askOwner(id, names)
      if (answer === 'dead') dead.push(owner)
      else if (answer === 'silent') isSilent = true
      else for (const name of answer) alive.add(join(root, name))
    }

    await Promise.all((await ifThere(fs.readdir(register)) ?? []).map(askOne))
    return { alive, isSilent, patienceMs: patience, dead, elsewhere }
  }

  async function close (): Promise<void> {
    if (opened === undefined) return
    const { entry, socket } = await opened
    socket?.close()
    await fs.rmdir(entry).catch(() => {})
    await fs.rmdir(register).catch(() => {}) // unless others are in it
  }

  return { announce, touch, ask, entry: owner => join(register, owner), close }
}
