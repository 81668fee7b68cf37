import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { B2Emulator, EmulatorEvent, FaultHandle } from '../../../emulator/index.ts'
import { B2Cleanup } from '../../../services/b2/cleanup/cleanup.ts'
import { createB2Client } from '../../../services/b2/http/client.ts'
import { companionKey } from '../../../services/b2/object-receipt.ts'
import { bundle } from '../../../scripts/bundle.ts'
import { CALM, filesIn, KIB, MIB } from '../promotion/promotion.ts'
import { b2Env, bytes, filesBelow, put, sha256, startB2 } from '../service/service.ts'
import type { Answer } from '../service/service.ts'

/** A generator that gives the same numbers for the same seed: mulberry32. */
export function randomFrom (seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296 * below)
  }
}

/** A service in a process of its own. */
export interface Doomed {
  readonly url: string
  kill (): Promise<void>
}

export interface KillStage {
  readonly b2: B2Emulator
  /** Begins a service on the directory. The one before is dead. */
  start (): Promise<Doomed>
  /** B2 takes nothing until the handle is cancelled. */
  down (): FaultHandle
  /** Uploads files at once; those that were acknowledged are remembered. Never rejects. */
  upload (service: Doomed, count: number): Promise<void>
  /** Remembers a file if it was acknowledged. */
  acknowledge (answer: Answer | undefined, content: Uint8Array): void
  /** Reads some, or all, of what was acknowledged, and expects the right bytes. */
  check (service: Doomed, count?: number): Promise<void>
  /** The last service has promoted all: each file is in B2 once, whole, and nothing is left behind. */
  finish (): Promise<void>
}

const SIZES = [0, 10 * KIB, 700 * KIB, 6 * MIB]

export async function setKillStage (t: Test, random: (below: number) => number, more: Record<string, string> = {}): Promise<KillStage> {
  const b2 = await startB2(t)
  const dir = t.testdir()
  const env = { PATH: process.env['PATH'], ...b2Env(b2), ...CALM, PROMOTE_INTERVAL_MS: '100', LOCAL_STORAGE_DIR: dir, ...more }
  const acknowledged = new Map<string, string>()
  let spare = spawn()
  t.teardown(async () => { await spare.kill() })

  /** One that has loaded its code, so that nobody waits for it. */
  function spawn () {
    const child = fork(bundle('test/support/service/doomed-service.ts'), { env, execArgv: ['--no-warnings'] })
    const exited = once(child, 'exit')
    const ready = once(child, 'message')
    return {
      child,
      ready,
      async kill () {
        child.kill('SIGKILL')
        await exited
      },
    }
  }

  async function start (): Promise<Doomed> {
    const { child, ready, kill } = spare
    t.teardown(kill)
    await ready
    child.send('start')
    const [url] = await once(child, 'message') as [string]
    spare = spawn()
    return { url, kill }
  }

  function acknowledge (answer: Answer | undefined, content: Uint8Array): void {
    if (answer?.status === 201 || answer?.status === 202) acknowledged.set(answer.body.track.key, sha256(content))
  }

  async function read ({ url }: Doomed, key: string): Promise<void> {
    const response = await fetch(`${url}/content/${key.slice('tracks/'.length)}`)
    const content = Buffer.from(await response.arrayBuffer())
    if (response.status !== 200 || sha256(content) !== acknowledged.get(key)) t.fail(`${key} is not readable`, { status: response.status, size: content.byteLength })
  }

  async function check (service: Doomed, count = acknowledged.size): Promise<void> {
    const keys = [...acknowledged.keys()]
    for (const key of count < keys.length ? Array.from({ length: count }, () => keys[random(keys.length)]!) : keys) await read(service, key)
  }

  return {
    b2,
    start,
    down: () => b2.fault({ operation: ['PutObject', 'CreateMultipartUpload'], status: 503, times: Infinity }),

    async upload (service, count) {
      await Promise.all(Array.from({ length: count }, async () => {
        const content = bytes(SIZES[random(SIZES.length)]!)
        const answer = await put(service, content).catch(() => undefined)
        acknowledge(answer, content)
      }))
    },

    acknowledge,

    check,

    async finish () {
      const service = await start()
      while ((await filesBelow(dir)).length > 0) await wait(50)
      await check(service)
      for (const [key, hash] of acknowledged) t.equal(b2.objects().find(object => object.key === key)?.sha256, hash)
      // Of some that were not acknowledged the client can't know; they are whole all the same.
      for (const { key, sha256, metadata } of filesIn(b2)) t.equal(metadata['sha256'] ?? JSON.parse(String(b2.read(companionKey(key, metadata['attempt'])))).sha256, sha256)
      await service.kill()
      const versions = b2.versions().map(({ key }) => key)
      t.same(versions.filter((key, index) => versions.indexOf(key) !== index), [], 'no version too many')
      await sweep(b2)
      t.same(b2.unfinishedUploads(), [])
      t.comment(`${acknowledged.size} files were acknowledged, ${filesIn(b2).length} are in B2`)
    },
  }
}

/** What the service's clean-up does with unfinished uploads that are a day old, without waiting for a day. */
async function sweep (b2: B2Emulator): Promise<void> {
  const { accessKeyId: applicationKeyId, secretAccessKey: applicationKey } = b2.credentials
  const client = createB2Client({ endpoint: b2.endpoint, region: b2.region, bucket: b2.bucket, applicationKeyId, applicationKey }, new WeakMap())
  const cleanup = new B2Cleanup({ client, bucket: b2.bucket })
  await wait(1_100) // the emulator's times are in whole seconds
  await cleanup.sweepUnfinished('tracks/', 0)
  await cleanup.close()
  client.destroy()
}

/** Resolves at the `count`th event of the emulator from now on, in the middle of it, or when `limit` milliseconds are over. */
export async function atEvent (b2: B2Emulator, event: EmulatorEvent, count: number, limit: number): Promise<void> {
  let off = (): void => {}
  const reached = new Promise<void>(resolve => {
    off = b2.on(event, () => { if (--count <= 0) resolve() })
  })
  await Promise.race([reached, wait(limit)])
  off()
}
