import { DiskTimeoutError } from './errors.ts'

/**
 * What an operation is for: fallbacks and deletions (`write`), content and receipts (`read`), promotion, claims and sweeps
 * (`upkeep`), or the state of the disk (`status`). If reads hang, the other uses still have slots.
 */
export type DiskUse = 'status' | 'write' | 'read' | 'upkeep'

/** In the order in which they get slots if several wait. */
const USES: readonly DiskUse[] = ['status', 'write', 'read', 'upkeep']

/** libuv's own number, without `UV_THREADPOOL_SIZE`. */
const DEFAULT_THREADS = 4

/** An operation on the disk. */
export interface DiskTask {
  readonly use: DiskUse
  /** The system call, for the error. */
  readonly call: string
  /** Milliseconds after which it is overdue: the caller gets an error, and the operation keeps its slot until it returns. */
  readonly deadlineMs: number
  /** Whether the caller waits as long as it takes, for a slot and for the result; for what must be cleaned up eventually. */
  readonly isPatient: boolean
}

interface Waiter {
  readonly task: DiskTask
  go (): void
  fail (error: Error): void
}

interface Counts {
  running: number
  /** How many of the running ones are overdue. */
  overdue: number
}

/**
 * Keeps file operations from taking all threads of libuv's pool, where one that hangs can't be stopped. At least one thread
 * stays free for everything else, and reads and upkeep don't take all slots.
 *
 * An operation waits for a slot as long as one of those before it may still return. If all of them are overdue, it fails at once.
 * So a slow disk is slow, and one that hangs costs each caller at most one deadline.
 */
export class DiskSlots {
  readonly #slots: number
  readonly #limits: Record<DiskUse, number>
  readonly #counts: Record<DiskUse, Counts> = { status: none(), write: none(), read: none(), upkeep: none() }
  readonly #waiting: Record<DiskUse, Waiter[]> = { status: [], write: [], read: [], upkeep: [] }
  readonly #whenIdle = new Set<() => void>()
  // Over all uses.
  #running = 0
  #overdue = 0
  #waiters = 0
  #turn = 0

  /** @param threads threads in libuv's pool. Default 4, as libuv's own. */
  constructor (threads = DEFAULT_THREADS) {
    this.#slots = Math.max(1, threads - 1)
    const most = Math.max(1, this.#slots - 1)
    this.#limits = { status: 1, write: this.#slots, read: most, upkeep: Math.max(1, Math.floor(most / 2)) }
  }

  /** Operations that are overdue and have not returned: each holds a thread of the pool. */
  get overdue (): number { return this.#overdue }

  /** Operations that have begun and not returned. */
  get running (): number { return this.#running }

  /** Resolves when no operation is under way, or after this time: then those under way hang. */
  async idle (withinMs: number): Promise<void> {
    if (this.running === 0) return
    await new Promise<void>(resolve => {
      const tell = (): void => {
        clearTimeout(timer)
        this.#whenIdle.delete(tell)
        resolve()
      }
      const timer = setTimeout(tell, withinMs)
      this.#whenIdle.add(tell)
    })
  }

  /**
   * Runs an operation when there is a slot. `undo` gets its result if it succeeds after its caller was told that it failed.
   * @throws {DiskTimeoutError} if it is overdue, or all operations before it are; else what the operation throws
   */
  run<T> (task: DiskTask, operate: () => Promise<T>, undo?: (result: T) => Promise<void>): Promise<T> {
    if (this.#waiting[task.use].length > 0 || !this.#mayStart(task.use)) return this.#wait(task).then(() => this.#watch(task, operate, undo))
    this.#begin(task.use)
    return this.#watch(task, operate, undo)
  }

  #watch<T> ({ use, call, deadlineMs, isPatient }: DiskTask, operate: () => Promise<T>, undo?: (result: T) => Promise<void>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      /** Set once it is overdue: what is to be done when it returns after all. */
      let settle: (() => void) | undefined
      const timer = setTimeout(() => {
        const settled = new Promise<void>(resolve => { settle = resolve })
        this.#counts[use].overdue++
        this.#overdue++
        if (!isPatient) reject(new DiskTimeoutError(call, deadlineMs, settled))
        this.#failTheHopeless()
      }, deadlineMs).unref()
      const returned = (): void => {
        clearTimeout(timer)
        this.#end(use, settle !== undefined)
      }
      operate().then(result => {
        returned()
        resolve(result)
        if (settle === undefined) return
        if (isPatient || undo === undefined) settle()
        else undo(result).then(settle, settle)
      }, (error: Error) => {
        returned()
        reject(error)
        settle?.()
      })
    })
  }

  #begin (use: DiskUse): void {
    this.#counts[use].running++
    this.#running++
  }

  #end (use: DiskUse, wasOverdue: boolean): void {
    this.#counts[use].running--
    this.#running--
    if (wasOverdue) {
      this.#counts[use].overdue--
      this.#overdue--
    }
    if (this.#waiters > 0) this.#serve()
    if (this.#running === 0) for (const tell of this.#whenIdle) tell()
  }

  async #wait (task: DiskTask): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#waiting[task.use].push({ task, go: resolve, fail: reject })
      this.#waiters++
      this.#failTheHopeless()
    })
  }

  #mayStart (use: DiskUse): boolean {
    return this.#counts[use].running < this.#limits[use] && this.#running < this.#slots
  }

  /** Whether all operations that a new one would wait for are overdue. */
  #isHopeless (use: DiskUse): boolean {
    if (this.#mayStart(use)) return false
    const { running, overdue } = this.#counts[use]
    return running >= this.#limits[use] ? running === overdue : this.#running === this.#overdue
  }

  #failTheHopeless (): void {
    for (const use of USES) {
      if (!this.#isHopeless(use)) continue
      const all = this.#waiting[use]
      this.#waiting[use] = all.filter(({ task }) => task.isPatient)
      this.#waiters -= all.length - this.#waiting[use].length
      for (const { task, fail } of all) if (!task.isPatient) fail(new DiskTimeoutError(task.call))
    }
  }

  /** Gives free slots to those that wait: first the status, which `/ready` waits for, then one of each use in turn. */
  #serve (): void {
    for (let passed = 0; passed < USES.length;) {
      const use = this.#waiting.status.length > 0 && this.#mayStart('status') ? 'status' : USES[this.#turn++ % USES.length]!
      if (this.#waiting[use].length > 0 && this.#mayStart(use)) {
        passed = 0
        this.#begin(use)
        this.#waiters--
        this.#waiting[use].shift()!.go()
      } else {
        passed++
      }
    }
  }
}

function none (): Counts {
  return { running: 0, overdue: 0 }
}
