import { linkSync, openSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** What a process did to the disk, in the order in which it was done. `kept` is where a name that went can still be found. */
export type DiskEntry =
  | { readonly did: 'create', readonly path: string }
  | { readonly did: 'rename', readonly from: string, readonly to: string, readonly kept?: string }
  | { readonly did: 'unlink', readonly path: string, readonly kept?: string }
  | { readonly did: 'write', readonly ino: string }
  /** A sync has ended that began at the entry `begin` of the same process and number. */
  | { readonly did: 'sync', readonly ino: string, readonly size: number, readonly number: string }
  | { readonly did: 'sync-directory', readonly path: string, readonly number: string }
  | { readonly did: 'begin', readonly number: string }

let count = 0

/**
 * Writes down what a power cut could take back: names and bytes that were not synced. Several processes append to one file,
 * and what is removed is kept under another name beside it.
 */
export class DiskJournal {
  readonly #file: number
  readonly #graves: string

  constructor (path: string) {
    this.#file = openSync(path, 'a')
    this.#graves = dirname(path)
  }

  created (path: string): void {
    this.#append({ did: 'create', path })
  }

  /** To be called before it is done, as what follows is: a process that is killed in between has perhaps done it. */
  renaming (from: string, to: string): void {
    this.#append({ did: 'rename', from, to, ...this.#keep(to) })
  }

  unlinking (path: string): void {
    this.#append({ did: 'unlink', path, ...this.#keep(path) })
  }

  dirtied (ino: bigint): void {
    this.#append({ did: 'write', ino: String(ino) })
  }

  /** To be called before the sync; what it returns, after it. */
  synced (ino: bigint, size: bigint): () => void {
    return this.#begin(number => ({ did: 'sync', ino: String(ino), size: Number(size), number }))
  }

  /** The same for the names in a directory. */
  directorySynced (path: string): () => void {
    return this.#begin(number => ({ did: 'sync-directory', path, number }))
  }

  /** Keeps what has this name, where there is something, under another one. */
  #keep (path: string): { readonly kept?: string } {
    const kept = join(this.#graves, `grave-${process.pid}-${count++}`)
    try {
      linkSync(path, kept)
      return { kept }
    } catch {
      return {}
    }
  }

  #begin (entryOf: (number: string) => DiskEntry): () => void {
    const number = `${process.pid}-${count++}`
    this.#append({ did: 'begin', number })
    return () => this.#append(entryOf(number))
  }

  #append (entry: DiskEntry): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`)
  }
}
