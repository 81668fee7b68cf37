import { EventEmitter } from 'node:events'
import { readFile } from './readers.ts'
import type { Expected } from '../judge/expected.ts'
import type { Process } from '../service/process.ts'
import type { Stage } from '../stage.ts'

/** Clients that ask for a file and then take nothing of it, for as long as it pleases them. */
export class StandingReaders {
  readonly #stage: Stage
  readonly #order = new EventEmitter().setMaxListeners(0)
  #reading: Array<Promise<void>> = []
  #error: unknown

  constructor (stage: Stage) {
    this.#stage = stage
  }

  begin (expected: Expected, from: Process): void {
    this.#stage.tally.count('readers that stand')
    const standsUntil = new Promise<void>(resolve => { this.#order.once('go on', resolve) })
    const read = readFile(expected, { what: 'content', from, stage: this.#stage, standsUntil })
    this.#reading.push(read.catch(error => { this.#error ??= error }))
  }

  /** Resolves when all have read the rest, or have seen that it does not come. */
  async goOn (): Promise<void> {
    this.#order.emit('go on')
    await Promise.all(this.#reading)
    this.#reading = []
  }

  /** @throws {Violation} if a reader that has ended got what it should not */
  check (): void {
    if (this.#error !== undefined) throw this.#error
  }
}
