import { lateOutage, outage, someFault } from './trouble/b2-faults.ts'
import { fatal, someDiskFault } from './disk/faults.ts'
import type { Leave, Moment, Name, Pace, Script, Step, Upload } from './script.ts'
import { Random } from './seed.ts'

const MIB = 1_048_576
export const PART_BYTES = 5 * MIB
const EVENTS = ['request', 'applied', 'response'] as const
const OPERATIONS = ['PutObject', 'CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload', 'HeadObject', 'DeleteObject', 'ListParts'] as const

/** What an episode is mostly about: how often each kind of step comes. */
interface Flavour {
  readonly kill: number
  readonly b2: number
  readonly outage: number
  readonly disk: number
  readonly promote: number
  /** B2 fails in the middle of large files. */
  readonly split: number
  readonly hasTwo: boolean
}

const FLAVOURS: readonly Flavour[] = [
  { kill: 0, b2: 10, outage: 3, disk: 0, promote: 1, split: 1, hasTwo: false },
  { kill: 4, b2: 5, outage: 4, disk: 0, promote: 2, split: 1, hasTwo: false },
  { kill: 1, b2: 3, outage: 5, disk: 6, promote: 2, split: 1, hasTwo: false },
  { kill: 2, b2: 4, outage: 4, disk: 1, promote: 2, split: 1, hasTwo: true },
  { kill: 3, b2: 5, outage: 4, disk: 3, promote: 2, split: 1, hasTwo: true },
  { kill: 1, b2: 2, outage: 1, disk: 0, promote: 2, split: 10, hasTwo: false },
  { kill: 3, b2: 3, outage: 1, disk: 3, promote: 3, split: 10, hasTwo: true },
]

/** The script of a seed. Nothing in it depends on what happens, so that steps can be left out. */
export function generate (seed: number, length = 60): Script {
  const random = new Random(seed)
  const flavour = random.pick(FLAVOURS)
  const names: readonly Name[] = flavour.hasTwo ? ['A', 'B'] : ['A']
  const isLarge = flavour.split > 1
  const windowBytes = random.pick(isLarge ? [1, 1, 6] : [6, 12, 16]) * MIB
  const env = {
    B2_PART_BYTES: String(PART_BYTES),
    B2_STALL_TIMEOUT_MS: String(random.pick([500, 1_000, 2_000])),
    B2_ACK_TIMEOUT_MS: String(random.pick([1_000, 4_000, 45_000])),
    B2_CONNECT_TIMEOUT_MS: '1000',
    B2_MAX_ATTEMPTS: String(random.pick([1, 2, 4])),
    REPLAY_WINDOW_BYTES: String(windowBytes),
    FALLBACK_BEYOND_WINDOW: random.chance(0.2) ? 'refuse' : 'split',
    MEMORY_BUDGET_BYTES: String(random.pick([32, 48, 64]) * MIB),
    BREAKER_THRESHOLD: String(random.pick([0, 2, 5])),
    BREAKER_RESET_MS: String(random.pick([200, 1_000])),
    PROMOTE_INTERVAL_MS: String(random.pick([0, 200, 200, 1_000])),
    UPLOAD_IDLE_TIMEOUT_MS: '3000',
    UPLOAD_MIN_RATE: '1024',
    UPLOAD_MAX_BYTES: String(random.pick([40, 40, isLarge ? 40 : 12]) * MIB),
    UPLOAD_MAX_CONCURRENT: '40',
    SHUTDOWN_GRACE_MS: String(random.pick([200, 2_000])),
    DOWNLOAD_IDLE_TIMEOUT_MS: String(random.pick([1_000, 60_000])),
  }
  let uploads = 0
  const name = (): Name => random.pick(names)
  const known = (): string => `u${random.between(Math.max(1, uploads - 12), Math.max(1, uploads))}`
  const moment = (): Moment => ({
    event: random.pick(EVENTS),
    ...(random.chance(0.6) ? { operation: random.pick(OPERATIONS) } : {}),
    count: random.between(1, 4),
  })
  const maxBytes = Number(env.UPLOAD_MAX_BYTES)
  const upload = (): UploadStep => ({ do: 'upload', upload: someUpload(random, `u${++uploads}`, name(), someSize(random, windowBytes, maxBytes)) })
  const large = (): UploadStep => ({ do: 'upload', upload: someUpload(random, `u${++uploads}`, name(), random.between(Math.min(windowBytes + PART_BYTES, maxBytes), maxBytes)) })
  const larges = (): UploadStep[] => Array.from({ length: random.between(1, 3) }, large)

  /** B2 stays away until the upload has ended, or comes back before; somebody may be killed meanwhile, or at the joining. */
  const afterSplit = (): Step[] => {
    const killed = name()
    return random.weighted<Step[]>([
      [3, [{ do: 'join' }, { do: 'lift' }]],
      [2, [{ do: 'wait', moment: moment() }, { do: 'lift' }]],
      [1, [{ do: 'join' }, { do: 'read', id: `u${uploads}`, from: name(), what: random.pick(['receipt', 'content', 'range']) }, { do: 'lift' }]],
      [1, [{ do: 'join' }, { do: 'delete', id: `u${uploads}`, from: name() }, { do: 'lift' }]],
      [1, [{ do: 'join' }, { do: 'lift' }, { do: 'wait', moment: moment() }, { do: 'delete', id: `u${uploads}`, from: name() }]],
      [flavour.kill, [{ do: 'kill-at', name: killed, moment: moment() }, { do: 'join' }, { do: 'lift' }, { do: 'start', name: killed }]],
      [flavour.kill, [{ do: 'join' }, { do: 'kill-at', name: killed, moment: moment() }, { do: 'lift' }, { do: 'wait', moment: moment() }, { do: 'start', name: killed }]],
      [flavour.kill / 2, [{ do: 'join' }, { do: 'power-cut', seed: random.between(1, 1_000_000) }, { do: 'lift' }, ...names.map((name): Step => ({ do: 'start', name }))]],
      [flavour.disk / 2, [{ do: 'disk', name: killed, fault: random.chance(0.5) ? fatal(random) : someDiskFault(random) }, { do: 'join' }, { do: 'lift' },
        { do: 'mend', name: killed }, { do: 'start', name: killed }]],
      [flavour.promote / 2, [{ do: 'join' }, { do: 'stop', name: killed }, { do: 'lift' },
        { do: 'promote', end: { signal: random.pick(['SIGKILL', 'SIGTERM'] as const), moment: moment() } }, { do: 'start', name: killed }]],
    ])
  }

  const steps: Step[] = names.map(name => ({ do: 'start', name }))
  const add = (...more: Step[]): void => { steps.push(...more) }
  while (steps.length < length) {
    random.weighted<() => void>([
      [14, () => add(upload())],
      [4, () => add(...Array.from({ length: random.between(3, 8) }, upload))],
      [4, () => add({ do: 'wait', moment: moment() })],
      [3, () => add({ do: 'join' })],
      [5, () => add({ do: 'read', id: known(), from: name(), what: random.pick(['receipt', 'content', 'content', 'range', 'leave']) })],
      [3, () => add({ do: 'delete', id: known(), from: name() })],
      [flavour.b2, () => add({ do: 'fault', fault: someFault(random) })],
      [flavour.outage, () => add({ do: 'fault', fault: outage(random) }, upload(), upload())],
      [flavour.outage / 3, () => add({ do: 'refuse' }, upload())],
      [flavour.split, () => add({ do: 'fault', fault: lateOutage(random) }, ...larges(), ...afterSplit())],
      [flavour.split / 2, () => add(...larges(), { do: 'wait', moment: { event: random.pick(EVENTS), operation: 'UploadPart', count: random.between(2, 8) } },
        random.chance(0.5) ? { do: 'refuse' } : { do: 'fault', fault: outage(random) }, ...afterSplit())],
      [flavour.outage / 4, () => add({ do: 'throttle', bytesPerSecond: random.pick([2, 8]) * MIB, latencyMs: random.pick([0, 50]), isShared: random.chance(0.5) })],
      [flavour.outage / 4, () => add(...fullLine(random, Array.from({ length: random.between(4, 8) }, upload)))],
      [flavour.b2 / 2 + flavour.outage, () => add({ do: 'lift' })],
      [flavour.disk, () => add({ do: 'disk', name: name(), fault: someDiskFault(random) })],
      [flavour.disk, () => add({ do: 'mend', name: name() })],
      [flavour.kill / 2, () => {
        const killed = name()
        add({ do: 'kill', name: killed }, { do: 'start', name: killed })
      }],
      [flavour.kill, () => {
        const killed = name()
        add({ do: 'kill-at', name: killed, moment: moment() }, upload(), upload(), { do: 'join' }, { do: 'start', name: killed })
      }],
      [flavour.kill, () => {
        const killed = name()
        add({ do: 'disk', name: killed, fault: fatal(random) }, { do: 'fault', fault: outage(random) }, upload(), upload(), { do: 'join' }, { do: 'lift' },
          { do: 'start', name: killed })
      }],
      [flavour.kill / 2, () => add({ do: 'power-cut', seed: random.between(1, 1_000_000) }, ...names.map((name): Step => ({ do: 'start', name })))],
      [flavour.kill / 2 + 0.3, () => {
        const stopped = name()
        add({ do: 'stop', name: stopped }, { do: 'start', name: stopped })
      }],
      [flavour.promote, () => add({ do: 'promote', ...(random.chance(0.5) ? { end: { signal: random.pick(['SIGKILL', 'SIGTERM'] as const), moment: moment() } } : {}) })],
      [2, () => add(...Array.from({ length: random.between(1, 4) }, (): Step => ({ do: 'stand', id: known(), from: name() })))],
      [1, () => add({ do: 'go-on' })],
      // An outage that many files fell back in, and several commands that share them.
      [flavour.promote / 4, () => add({ do: 'refuse' }, { do: 'crowd', id: `u${++uploads}`, to: name(), count: random.between(20, 80) },
        ...names.map((name): Step => ({ do: 'stop', name })), { do: 'lift' }, { do: 'share', commands: random.between(2, 4) },
        ...names.map((name): Step => ({ do: 'start', name })))],
      [0.5, () => add({ do: 'settle' })],
    ])()
  }
  add({ do: 'settle' })
  return { seed, env, steps }
}

type UploadStep = Step & { readonly do: 'upload' }

/** Nothing is wrong with B2 but that more comes at once than the line to it carries soon. */
function fullLine (random: Random, uploads: readonly UploadStep[]): Step[] {
  return [
    { do: 'lift' },
    { do: 'throttle', bytesPerSecond: random.pick([1, 2, 4]) * MIB, latencyMs: 0, isShared: true },
    // A large one would take all of the line for long.
    ...uploads.filter(({ upload: { size } }) => size <= 6 * MIB),
    { do: 'join' },
    { do: 'lift' },
  ]
}

function someUpload (random: Random, id: string, to: Name, size: number): Upload {
  const method = random.pick(['PUT', 'POST'] as const)
  const fields = method === 'POST' && random.chance(0.4) ? Array.from({ length: random.between(1, 8) }, () => random.between(0, 300)) : undefined
  return {
    id,
    to,
    method,
    size,
    announced: random.chance(0.6),
    pace: somePace(random, size),
    ...(random.chance(0.2) ? { leave: random.chance(0.3) ? 'late' : someByte(random, size) } satisfies { leave: Leave } : {}),
    ...(fields === undefined ? {} : { fields }),
  }
}

function someSize (random: Random, windowBytes: number, maxBytes: number): number {
  const near = (edge: number): number => edge + random.between(-1, 1)
  return random.weighted([
    [8, () => random.pick([0, 1, 100, 5_000, 65_536])],
    [8, () => random.between(0, 2 * MIB)],
    [3, () => near(PART_BYTES)],
    [2, () => near(2 * PART_BYTES)],
    [2, () => near(windowBytes)],
    [1, () => near(maxBytes)],
    [4, () => random.between(PART_BYTES, 16 * MIB)],
    [1, () => random.between(16 * MIB, 40 * MIB)],
  ])()
}

function somePace (random: Random, size: number): Pace {
  return random.weighted<Pace>([
    [8, { kind: 'burst' }],
    [2, { kind: 'trickle', bytes: Math.max(1_024, Math.ceil(size / random.between(5, 40))), pauseMs: random.pick([1, 20, 100]) }],
    [0.5, { kind: 'stall', at: someByte(random, size) }],
  ])
}

/** Of a request with a file of this size: the last one is one of them, and what follows a file in a form. */
function someByte (random: Random, size: number): number {
  return random.weighted([[4, () => random.between(0, size)], [1, () => size], [1, () => size + random.between(0, 400)]])()
}
