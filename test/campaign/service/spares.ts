import { Process } from './process.ts'

/** Processes that have loaded their code, so that nobody waits for it. */
export class Spares {
  readonly #directory: string
  #next: Process

  /** @param directory where they work */
  constructor (directory: string) {
    this.#directory = directory
    this.#next = new Process(directory)
  }

  take (): Process {
    const taken = this.#next
    this.#next = new Process(this.#directory)
    return taken
  }

  async close (): Promise<void> {
    await this.#next.kill()
  }
}
