import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { atEvent, randomFrom } from '../support/faults/kills.ts'
import { onlyFilesAreLeft } from '../support/resumable/leftovers.ts'
import { create, head, patch } from '../support/resumable/tus.ts'
import { rounds } from '../support/run/loops.ts'
import { runServer } from '../support/service/server-process.ts'
import { b2Env, bytes, filesBelow, startB2 } from '../support/service/service.ts'

const MIB = 1_048_576
const PART = 5 * MIB
const KILLS = rounds(2, 30)
const EVENTS = ['request', 'applied', 'response'] as const

/** Kills a service that takes pieces, again and again, and goes on with another one. */
async function killed (t: Test, hasDirectory: () => boolean, isDown: boolean): Promise<void> {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  t.comment(`SEED=${seed}`)
  const random = randomFrom(seed)
  const b2 = await startB2(t)
  const root = t.testdir({ cwd: {} })
  const newDirectory = async (): Promise<string> => await mkdtemp(join(root, 'local-'))
  const run = (dir: string) => runServer(t, {
    ...b2Env(b2), LOCAL_STORAGE_DIR: dir, B2_STALL_TIMEOUT_MS: '5000', B2_MAX_ATTEMPTS: '1', B2_PART_BYTES: String(PART), BREAKER_RESET_MS: '100', PROMOTE_INTERVAL_MS: '100',
  }, { cwd: join(root, 'cwd') })
  let dir = await newDirectory()
  let server = run(dir)
  let service = { url: await server.url() }
  const content = bytes(4 * PART + 12_345)
  // A service that begins while B2 is down knows what the directory has, so the upload begins there.
  const down = isDown ? b2.fault({ status: 503, times: Infinity }) : undefined
  const path = await create(t, service, content.byteLength)
  let [told, isComplete] = [0, false]
  if (isDown) {
    t.equal((await patch(service, path, 0, content.subarray(0, MIB))).status, 204)
    told = MIB
  }

  /** Sends pieces until the service dies. */
  async function send (): Promise<void> {
    while (!isComplete) {
      const size = [1_000, 300_000, 2 * MIB, PART + 1][random(4)]!
      // The end is for the last service.
      const end = Math.min(content.byteLength - 1, told + size)
      if (end === told) return
      const { status, headers } = await patch(service, path, told, content.subarray(told, end))
      if (status !== 204) {
        t.fail(`a piece was answered with ${status}`)
        return
      }
      told = Number(headers.get('upload-offset'))
      isComplete = headers.has('content-location')
    }
  }

  for (let kill = 0; kill < KILLS; kill++) {
    const sending = send().catch(() => {}) // the connection broke
    if (isDown) await new Promise(resolve => setTimeout(resolve, random(150)))
    else await atEvent(b2, EVENTS[random(3)]!, 1 + random(6), 1_000)
    server.child.kill('SIGKILL')
    await server.exited
    await sending
    if (!hasDirectory()) dir = await newDirectory()
    server = run(dir)
    service = { url: await server.url() }
    const there = await head(service, path)
    const offset = Number(there.headers.get('upload-offset'))
    if (there.status !== 200 || offset < told) t.fail(`killed: ${told} bytes were told, ${offset} are there`, { status: there.status })
    t.comment(`${kill}: told ${told}, there ${offset}`)
    told = offset
  }
  down?.cancel()
  for (;;) {
    const last = await patch(service, path, told, content.subarray(told))
    if (last.status === 204) break
    if (last.status !== 503) {
      t.fail(`the last piece was answered with ${last.status}`)
      return
    }
    await new Promise(resolve => setTimeout(resolve, 150))
    told = Number((await head(service, path)).headers.get('upload-offset'))
  }
  const name = path.split('/').at(-1)!
  const served = await fetch(`${service.url}/uploads/${name}`)
  t.match(await served.json(), { storage: 'b2', track: { size_bytes: content.byteLength } })
  await onlyFilesAreLeft(t, b2, { localFiles: async () => await filesBelow(dir) }, [content])
}

t.test(`killed at ${KILLS} random moments, a service that begins with its directory has what clients were told`, async t => {
  await killed(t, () => true, false)
})

t.test(`killed at ${KILLS} random moments, one that begins with an empty directory has it as well`, async t => {
  await killed(t, () => false, false)
})

t.test(`killed at ${KILLS} random moments while B2 is down, the directory has it`, async t => {
  await killed(t, () => true, true)
})
