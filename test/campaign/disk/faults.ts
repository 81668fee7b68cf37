import type { DiskCall, DiskFault, DiskSubject } from '../script.ts'
import type { Random } from '../seed.ts'

const CHANGES: readonly DiskCall[] = ['open', 'write', 'sync', 'rename', 'unlink', 'mkdir']
const SUBJECTS: readonly DiskSubject[] = ['data', 'receipt', 'note', 'claim', 'leftover', 'directory']

/** The disk is full: nothing new fits, while names can be changed and taken away. */
function full (random: Random): DiskFault {
  return { calls: ['open', 'write', 'mkdir'], code: 'ENOSPC', ...(random.chance(0.5) ? { short: true } : {}) }
}

/** It can be read, and nothing else. */
function readOnly (): DiskFault {
  return { calls: ['open', 'write', 'rename', 'unlink', 'mkdir'], code: 'EROFS' }
}

function slow (random: Random): DiskFault {
  return { calls: [...CHANGES, 'list', 'read', 'stat'], delayMs: random.pick([20, 100, 500]) }
}

/** It hangs for longer than an operation may take, and does it after all. */
function hung (random: Random): DiskFault {
  return { calls: random.pick([[...CHANGES, 'list', 'read', 'stat'], ['read'], CHANGES]), delayMs: 12_000, times: random.between(1, 3) }
}

function broken (random: Random): DiskFault {
  const call = random.pick<DiskCall>([...CHANGES, ...CHANGES, 'list', 'read', 'stat'])
  return {
    calls: [call],
    code: 'EIO',
    ...some(random),
    ...(random.chance(0.3) && ['sync', 'rename'].includes(call) ? { afterDoing: true } : {}),
  }
}

/** The process is killed before or after something that it does to the disk. */
export function fatal (random: Random): DiskFault {
  return {
    calls: [random.pick<DiskCall>(['open', 'write', 'sync', 'rename', 'rename', 'unlink'])],
    kill: random.pick(['before', 'after'] as const),
    ...some(random),
    times: 1,
  }
}

export function someDiskFault (random: Random): DiskFault {
  return random.weighted([
    [2, () => full(random)],
    [1, () => readOnly()],
    [2, () => slow(random)],
    [1, () => hung(random)],
    [4, () => broken(random)],
  ])()
}

function some (random: Random): Pick<DiskFault, 'of' | 'after' | 'times'> {
  return {
    ...(random.chance(0.6) ? { of: random.pick(SUBJECTS) } : {}),
    ...(random.chance(0.5) ? { after: random.between(1, 4) } : {}),
    ...(random.chance(0.5) ? { times: random.between(1, 3) } : {}),
  }
}

/** What a fault does, in a word or two. */
export function kindOfDiskFault ({ calls, code, kill, delayMs }: DiskFault): string {
  if (kill !== undefined) return `SIGKILL ${kill} ${calls[0]}`
  return code === undefined ? `slow by ${delayMs} ms` : `${code} of ${calls.join(', ')}`
}
