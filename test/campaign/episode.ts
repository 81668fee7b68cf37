import { mkdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startB2Emulator } from '../../emulator/index.ts'
import { kindOfFault } from './trouble/b2-faults.ts'
import { kindOfDiskFault } from './disk/faults.ts'
import { Expectations } from './judge/expected.ts'
import { assertPromised } from './judge/inspect.ts'
import { atMoment } from './trouble/moments.ts'
import { readFile, removeFile } from './clients/readers.ts'
import type { Moment, Script, Step, Upload } from './script.ts'
import { Services } from './service/services.ts'
import { settle } from './judge/settle.ts'
import type { Actors } from './judge/settle.ts'
import type { Stage } from './stage.ts'
import { Tally } from './judge/tally.ts'
import { Trouble } from './trouble/trouble.ts'
import { StandingReaders } from './clients/standing-readers.ts'
import { Uploads } from './clients/uploads.ts'
import { Violation } from './judge/violation.ts'

export interface EpisodeOptions {
  /** Takes each step and what came of it. */
  say? (line: string): void
  /** How long all may take to come to rest, in milliseconds. Default 60,000. */
  readonly settleMs?: number
}

export interface EpisodeResult {
  readonly tally: Tally
  /** Undefined where all promises were kept. */
  readonly violation: Violation | undefined
  /** Number of the step that it came to light in, from 0. */
  readonly step: number
  /** Requests that B2 got and what the processes logged, in lines of JSON. */
  readonly log: readonly string[]
}

const WAIT_MS = 3_000
const CROWD_AT_ONCE = 10

/** Runs a script against services, a bucket and a directory of its own, and checks after every step. */
export async function runEpisode (script: Script, { say = () => {}, settleMs = 60_000 }: EpisodeOptions = {}): Promise<EpisodeResult> {
  const base = await mkdtemp(join(tmpdir(), 'campaign-'))
  const b2 = await startB2Emulator()
  const directory = join(base, 'storage')
  mkdirSync(directory)
  const tally = new Tally()
  b2.on('request', ({ fault }) => { if (fault !== undefined) tally.count(`requests hit by ${kindOfFault(fault)}`) })
  const env = {
    HOST: '127.0.0.1',
    PORT: '0',
    B2_ENDPOINT: b2.endpoint,
    B2_REGION: b2.region,
    B2_BUCKET: b2.bucket,
    B2_APPLICATION_KEY_ID: b2.credentials.accessKeyId,
    B2_APPLICATION_KEY: b2.credentials.secretAccessKey,
    LOCAL_STORAGE_DIR: directory,
    ...script.env,
  }
  const stage: Stage = { b2, trouble: new Trouble(b2), directory, env, expectations: new Expectations(), orphans: new Set(), tally, say }
  const uploads = new Uploads(stage)
  const services = new Services(stage, uploads, base)
  const readers = new StandingReaders(stage)
  let index = 0
  const end = (violation: Violation | undefined): EpisodeResult =>
    ({ tally, violation, step: index, log: [...b2.requests.map(request => JSON.stringify(request)), ...services.log] })
  try {
    for (const step of script.steps) {
      say(`${index} ${JSON.stringify(step)}`)
      tally.count('steps')
      await perform({ stage, services, uploads, readers }, step, settleMs)
      uploads.check()
      readers.check()
      await services.check()
      await assertPromised(stage)
      index++
    }
    return end(undefined)
  } catch (error) {
    return end(error instanceof Violation ? error : new Violation('error', (error as Error).stack ?? String(error)))
  } finally {
    await services.close()
    await uploads.close()
    await readers.goOn()
    stage.trouble.close()
    await b2.close()
    await rm(base, { recursive: true, force: true })
  }
}

async function perform (actors: Actors, step: Step, settleMs: number): Promise<void> {
  const { stage, services, uploads, readers } = actors
  const { trouble, tally } = stage
  switch (step.do) {
    case 'start': return await services.start(step.name)
    case 'kill': return await services.kill(step.name)
    case 'kill-at': return services.killAt(step.name, step.moment)
    case 'power-cut': return await services.cutPower(step.seed)
    case 'stop': return await services.stop(step.name)
    case 'wait': return await reach(actors, step.moment)
    case 'fault': return trouble.add(step.fault)
    case 'throttle':
      tally.count(step.isShared === true ? 'full lines' : 'slow connections')
      return trouble.throttle(step.bytesPerSecond, step.latencyMs, step.isShared)
    case 'refuse': return await trouble.refuse()
    case 'lift': return await trouble.lift()
    case 'promote':
      await services.promote(step.end)
      return
    case 'share': return await services.share(step.commands)
    case 'go-on': return await readers.goOn()
    case 'settle': return await settle(actors, settleMs)
    case 'join':
      await uploads.ended()
      return await services.quiet()
    case 'upload': {
      const service = services.running(step.upload.to)
      if (service !== undefined) uploads.begin(step.upload, service)
      return
    }
    case 'crowd': {
      for (let count = 0; count < step.count; count++) {
        const upload: Upload = { id: `${step.id}-${count}`, to: step.to, method: 'PUT', size: 100 + count, announced: true, pace: { kind: 'burst' } }
        const service = services.running(step.to)
        if (service !== undefined) uploads.begin(upload, service)
        if (count % CROWD_AT_ONCE === 0) await uploads.ended()
      }
      return await uploads.ended()
    }
    case 'disk':
      if (services.running(step.name) !== undefined) tally.count(`disk: ${kindOfDiskFault(step.fault)}`)
      return await services.running(step.name)?.breakDisk(step.fault)
    case 'mend': return await services.running(step.name)?.mendDisk()
    case 'read':
    case 'stand':
    case 'delete': {
      const expected = stage.expectations.get(step.id)
      const service = services.running(step.from)
      if (expected?.key === undefined || service === undefined) return
      if (step.do === 'stand') return readers.begin(expected, service)
      tally.count(`${step.do}s`)
      return step.do === 'read' ? await readFile(expected, { what: step.what, from: service, stage }) : await removeFile(expected, service, stage)
    }
  }
}

/** Resolves at the moment, or when no upload is left that could bring it about, or when it does not come. */
async function reach ({ stage, uploads }: Actors, moment: Moment): Promise<void> {
  let off = (): void => {}
  const reached = new Promise<void>(resolve => { off = atMoment(stage.b2, moment, resolve) })
  await Promise.race([reached, uploads.ended(), delay(WAIT_MS, undefined, { ref: false })])
  off()
}
