import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { newReceipt } from '../fixtures/local-files.ts'
import { rounds } from '../support/run/loops.ts'
import { samplesOf } from '../support/service/metrics.ts'
import { promote } from '../support/promotion/promote-command.ts'
import { runServer } from '../support/service/server-process.ts'
import { b2Env, startB2 } from '../support/service/service.ts'

/** More than are remembered at once. */
const FILES = rounds(10_000, 1_000_000)
const BYTES = 3
const MIB = 1_048_576

/** A directory with files of an outage that is long over. */
async function setDirectory (t: Test, files: number): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-'))
  t.teardown(async () => { await rm(dir, { recursive: true, force: true }) })
  mkdirSync(join(dir, 'tracks'))
  const template = JSON.stringify(newReceipt('KEY')).replace('"size_bytes":4', `"size_bytes":${BYTES}`)
  const from = Date.now() - 3_600_000
  for (let index = 0; index < files; index++) {
    const time = (from + index).toString(16).padStart(12, '0')
    const key = `tracks/${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${((index * 7_919) % 16_777_216).toString(16).padStart(12, '0')}.bin`
    writeFileSync(join(dir, key), 'abc')
    writeFileSync(join(dir, `${key}.receipt.json`), template.replaceAll('KEY', key))
  }
  return dir
}

/** Starts the service there, and waits until all is counted and a few passes were begun; what it took. */
async function start (t: Test, dir: string, env: Record<string, string>) {
  const server = runServer(t, { ...env, LOCAL_STORAGE_DIR: dir, PROMOTE_INTERVAL_MS: '1000' }, { preload: 'test/support/run/longest-turn.ts' })
  const turn = async (): Promise<{ most: number, used: number }> => {
    server.child.send('tell')
    const [told] = await once(server.child, 'message')
    return told
  }
  const url = await server.url()
  const { used: startUsed } = await turn() // that of the start itself, which loads all code
  const turns: number[] = []
  let used = 0
  let mostRss = 0
  let samples = new Map<string, number>()
  for (let after = 0; after < 10; after += samples.get('promotions_scan_complete') === 1 ? 1 : 0) {
    await sleep(200) // another process, looked at from time to time
    samples = samplesOf(await (await fetch(`${url}/metrics`)).text())
    mostRss = Math.max(mostRss, samples.get('process_resident_memory_bytes')!)
    const told = await turn()
    turns.push(told.most)
    used += told.used
  }
  server.child.kill('SIGTERM')
  t.equal(await server.exited, 0)
  return { startUsed, used, mostRss, turns: turns.sort((a, b) => a - b), samples }
}

t.test(`${FILES} files that wait make no difference to memory, start and other work`, { timeout: rounds(120, 3_600) * 1_000 }, async t => {
  const b2 = await startB2(t)
  const env = b2Env(b2)
  await b2.refuseConnections()
  const empty = await start(t, await setDirectory(t, 0), env)
  const dir = await setDirectory(t, FILES)
  const full = await start(t, dir, env)
  t.comment(`start ${Math.round(empty.startUsed)} and ${Math.round(full.startUsed)} ms, then ${Math.round(empty.used)} and ${Math.round(full.used)} ms of CPU time, memory ${Math.round(empty.mostRss / MIB)} and ${Math.round(full.mostRss / MIB)} MiB, ` +
    `longest turns ${Math.round(empty.turns.at(-1)!)} and ${Math.round(full.turns.at(-1)!)} ms`)
  t.match(Object.fromEntries(full.samples), { promotions_pending: FILES, promotions_pending_bytes: BYTES * FILES, promotions_scan_complete: 1 })
  const oldest = full.samples.get('promotions_oldest_seconds')!
  t.ok(oldest > 3_600 - FILES / 1_000 && oldest < 7_200, `${oldest} s`)
  t.match(Object.fromEntries(empty.samples), { promotions_pending: 0, promotions_pending_bytes: 0, promotions_oldest_seconds: 0, promotions_scan_complete: 1 })
  t.ok(full.startUsed < 2 * empty.startUsed, 'the start does not wait for them')
  t.ok(full.mostRss < empty.mostRss + 60 * MIB)
  t.ok(full.turns[Math.floor(full.turns.length * 0.9)]! < full.used / 40, 'no turn of the event loop takes much of all that they take')
  t.ok(full.turns.at(-1)! < full.used / 20, 'in which the threads that help to collect garbage count twice')

  const { code, stdout } = await promote(t, ['--dry-run'], { ...env, LOCAL_STORAGE_DIR: dir })
  t.equal(code, 0)
  const lines = stdout.trimEnd().split('\n')
  t.equal(lines.at(-1), `${FILES} to be promoted (${BYTES * FILES} bytes) in ${dir}.`)
  const keys = lines.slice(0, -1).map(line => line.split(' ')[4]!)
  t.equal(keys.length, FILES)
  t.equal(keys.findIndex((key, index) => index > 0 && key < keys[index - 1]!), -1, 'oldest first')
  t.equal(readFileSync(join(dir, keys[0]!), 'utf8'), 'abc')
})
