import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { runServer } from '../service/server-process.ts'
import type { ServerProcess } from '../service/server-process.ts'

/** A service whose local disk can hang: its operations then wait in the threads of libuv's pool. */
export interface HangingService extends ServerProcess {
  /** From now on operations hang: all, or those of these names of Node's. */
  hang (...calls: string[]): Promise<void>
  /** The disk answers again; what hung is done. */
  answer (): Promise<void>
}

export function runOnHangingDisk (t: Test, env: Record<string, string>): HangingService {
  const base = t.testdir({ cwd: {} })
  const fifo = join(base, 'fifo')
  execFileSync('mkfifo', [fifo])
  const cwd = join(base, 'cwd')
  let opened: number | undefined
  const hangAgain = (): void => {
    if (opened !== undefined) closeSync(opened)
    opened = undefined
  }
  t.teardown(hangAgain)
  const server = runServer(t, { HANGING_DISK: fifo, LOCAL_STORAGE_DIR: join(cwd, 'storage'), ...env }, { preload: 'test/fixtures/hanging-disk.ts', cwd })

  async function tell (hang: string[]): Promise<void> {
    server.child.send({ hang })
    const isTold = once(server.child, 'message').then(() => true)
    if (!await Promise.race([isTold, server.exited.then(() => false)])) throw new Error(`The service ended: ${JSON.stringify(server.lines)} ${server.stderr()}`)
  }

  return {
    ...server,
    async hang (...calls) {
      hangAgain()
      await tell(calls.length === 0 ? ['all'] : calls)
    },
    async answer () {
      // While it is open for writing, those who open it for reading go on.
      opened = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
      await tell([])
    },
  }
}
