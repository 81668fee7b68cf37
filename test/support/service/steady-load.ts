import { setImmediate as yieldToOthers } from 'node:timers/promises'
import { KIB, MIB, PART } from '../promotion/promotion.ts'
import { bytes, post, put, sha256 } from './service.ts'
import type { TestService } from './service.ts'
import { nameOf, receiptOf } from './stored-files.ts'

const SIZES = [0, 1, KIB, 100 * KIB, PART + 1, 0, KIB, MIB, 1, 100 * KIB, PART, KIB, 100 * KIB, 12 * MIB]

// Uploads may be so many ahead of reads, which are slower: each file is read about once while it is on its way.
const MOST_AHEAD = 12

/** A file that was acknowledged. */
export interface Acknowledged {
  readonly key: string
  readonly sha256: string
  /** Where it was stored at first. */
  readonly storage: 'b2' | 'local'
}

/** What readers saw. */
export interface Seen {
  /** Right bytes of files that are in local storage still. */
  local: number
  /** Right bytes of others. */
  b2: number
  /** Files in B2 that could not be read while it was down. */
  out: number
}

/** Clients that upload all the time, and others that read all that was acknowledged, until they are told to stop. */
export class SteadyLoad {
  readonly files: Acknowledged[] = []
  readonly seen: Seen = { local: 0, b2: 0, out: 0 }
  /** All that must not happen. */
  readonly wrong: string[] = []
  readonly #service: TestService
  readonly #clients: Promise<void>[]
  readonly #waiting = new Set<() => void>()
  readonly #drawn = bytes(12 * MIB)
  #isDown = false
  /** Counts up whenever B2 goes down or comes back. */
  #changes = 0
  #uploads = 0
  #reads = 0
  #isOver = false

  constructor (service: TestService, { uploaders, readers }: { uploaders: number, readers: number }) {
    this.#service = service
    this.#clients = [
      ...Array.from({ length: uploaders }, () => this.#repeat(() => this.#upload())),
      ...Array.from({ length: readers }, () => this.#repeat(() => this.#readNext(this.#reads++))),
    ]
  }

  /** To be told before B2 goes down, and after it is back. */
  setDown (isDown: boolean): void {
    this.#isDown = isDown
    this.#changes++
  }

  /** Resolves once so many uploads were acknowledged, and so many files read, from now on; or something went wrong. */
  async until (least: { readonly uploads: readonly [count: number, storage: 'b2' | 'local'], readonly reads: Partial<Seen> }): Promise<void> {
    const [files, seen] = [this.files.length, { ...this.seen }]
    const [count, storage] = least.uploads
    const isReached = (): boolean => this.files.slice(files).filter(file => file.storage === storage).length >= count &&
      Object.entries(least.reads).every(([where, count]) => this.seen[where as keyof Seen] - seen[where as keyof Seen] >= count)
    while (!isReached() && this.wrong.length === 0) await this.#change()
  }

  /** Ends the clients. */
  async stop (): Promise<void> {
    this.#isOver = true
    this.#wake()
    await Promise.all(this.#clients)
  }

  async #repeat (work: () => Promise<void>): Promise<void> {
    while (!this.#isOver) {
      await work().catch((error: unknown) => { this.#fail(`a client failed: ${String(error)}`) })
      await yieldToOthers()
    }
  }

  #fail (what: string): void {
    this.wrong.push(what)
    this.#wake()
  }

  async #change (): Promise<void> {
    await new Promise<void>(resolve => this.#waiting.add(resolve))
  }

  #wake (): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }

  async #upload (): Promise<void> {
    while (this.#uploads > this.#reads + MOST_AHEAD && !this.#isOver) await this.#change()
    const number = this.#uploads++
    const content = Buffer.from(this.#drawn.subarray(0, SIZES[number % SIZES.length]))
    bytes(16).copy(content)
    const isForm = Math.floor(number / SIZES.length) % 2 === 0
    const { status, body } = await (isForm ? post : put)(this.#service, content, 'Lied ☂.mp3')
    if (status !== 201 || body.track.sha256 !== sha256(content)) return this.#fail(`an upload of ${content.byteLength} bytes was answered ${status} ${JSON.stringify(body)}`)
    this.files.push({ key: body.track.key, sha256: body.track.sha256, storage: body.storage })
    this.#wake()
  }

  /** What has just been stored in turn with what is there for long. */
  async #readNext (turn: number): Promise<void> {
    const file = turn % 2 === 0 ? this.files.at(-1 - turn % 7) : this.files[turn % this.files.length]
    if (file === undefined) await this.#change()
    else await this.#read(file)
    this.#wake()
  }

  async #read (file: Acknowledged): Promise<void> {
    const name = nameOf(file.key)
    const [wasDown, changes] = [this.#isDown, this.#changes]
    const before = await this.#storageOf(name)
    const found = await this.#contentOf(name)
    const after = await this.#storageOf(name)
    const isExcused = (wasDown || changes !== this.#changes) && !(before === 'local' && after === 'local')
    const story = `${file.key} was ${before}, gave ${found}, was ${after}; B2 was ${isExcused ? 'down' : 'up, or the file here'}`
    if (before === 'local' && after === 'b2' && file.storage === 'b2') this.#fail(`moved backwards: ${story}`)
    if (found === file.sha256) this.seen[after === 'local' ? 'local' : 'b2']++
    else if (isExcused && (found === 503 || found === 'cut')) this.seen.out++
    else this.#fail(story)
    for (const storage of [before, after]) {
      if (storage !== 'local' && storage !== 'b2' && !(storage === 503 && isExcused)) this.#fail(story)
    }
  }

  async #storageOf (name: string): Promise<'b2' | 'local' | number> {
    const { status, body } = await receiptOf(this.#service, name)
    return status === 200 ? body.storage : status
  }

  async #contentOf (name: string): Promise<string | number> {
    const response = await fetch(`${this.#service.url}/uploads/${name}/content`)
    try {
      const body = await response.arrayBuffer()
      return response.status === 200 ? sha256(new Uint8Array(body)) : response.status
    } catch {
      return 'cut'
    }
  }
}
