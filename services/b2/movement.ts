import type { Socket } from 'node:net'
import { handedOver, unacknowledgedBytes } from './send-queues.ts'
import type { Turns } from './turns.ts'

const LEAST_BYTES = 1_024

/** Whether the requests of one upload move: a slow line is no failure of B2. */
export class Movement {
  readonly #turns: Turns
  readonly #sockets = new Map<Socket, number>()
  #movedAt = -Infinity
  /** Requests that wait for their turn. */
  waiting = 0

  constructor (turns: Turns) {
    this.#turns = turns
  }

  /** From now on what goes over `socket` counts. */
  watch (socket: Socket): void { this.#sockets.set(socket, handedOver(socket)) }

  unwatch (socket: Socket): void { this.#sockets.delete(socket) }

  /** Something moved that {@link look} does not see. */
  moved (): void { this.#movedAt = performance.now() }

  /** Looks what has arrived since the last look. */
  async look (): Promise<void> {
    for (const [socket, seen] of this.#sockets) {
      const arrived = handedOver(socket) - (await unacknowledgedBytes(socket) ?? 0)
      if (!this.#sockets.has(socket) || arrived - seen < LEAST_BYTES) continue
      this.#sockets.set(socket, arrived)
      this.moved()
    }
  }

  /** Whether anything moved within the last `ms`; who waits for his turn goes by what the others move. */
  within (ms: number): boolean {
    return performance.now() - this.#movedAt <= ms || (this.waiting > 0 && this.#turns.movedWithin(ms))
  }
}
