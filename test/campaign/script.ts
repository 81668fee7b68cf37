import type { EmulatorEvent, Fault, Operation } from '../../emulator/index.ts'

/** One of the services; all of them share a directory and a bucket. */
export type Name = 'A' | 'B'

/** How a client sends its bytes. */
export type Pace =
  | { readonly kind: 'burst' }
  /** So many bytes at a time, with a pause after each. */
  | { readonly kind: 'trickle', readonly bytes: number, readonly pauseMs: number }
  /** Nothing more after so many bytes, until it is answered. */
  | { readonly kind: 'stall', readonly at: number }

/** When a client leaves: after so many bytes of its request, or `late`, when B2 has been given the last of its file. */
export type Leave = number | 'late'

export interface Upload {
  readonly id: string
  readonly to: Name
  readonly method: 'PUT' | 'POST'
  readonly size: number
  /** Whether its length is announced. */
  readonly announced: boolean
  readonly pace: Pace
  readonly leave?: Leave
  /** Lengths of text fields before and after the file, POST only. */
  readonly fields?: readonly number[]
}

export type DiskCall = 'open' | 'write' | 'sync' | 'rename' | 'unlink' | 'mkdir' | 'list' | 'read' | 'stat'
export type DiskSubject = 'data' | 'receipt' | 'note' | 'claim' | 'leftover' | 'directory'

/** Trouble with the disk of one process: calls that fail, take long or are its last. */
export interface DiskFault {
  readonly calls: readonly DiskCall[]
  /** What they are about. Default: anything in the directory. */
  readonly of?: DiskSubject
  /** What they fail with. */
  readonly code?: 'ENOSPC' | 'EROFS' | 'EIO'
  /** They do their work, and fail all the same. */
  readonly afterDoing?: boolean
  /** A write takes half of its bytes before one fails. */
  readonly short?: boolean
  /** They take longer. */
  readonly delayMs?: number
  /** The process ends in the middle, by SIGKILL. */
  readonly kill?: 'before' | 'after'
  /** Calls to let pass first. Default 0. */
  readonly after?: number
  /** Calls it hits. Default: all. */
  readonly times?: number
}

/** A fault of the emulator as a script has it: `times` is left out for all requests. */
export type B2Fault = Omit<Fault, 'key' | 'operation'> & { readonly operation?: readonly Operation[] }

/** A moment of the emulator. */
export interface Moment {
  readonly event: EmulatorEvent
  readonly operation?: Operation
  /** The how manieth from now on. */
  readonly count: number
}

export type Step =
  | { readonly do: 'start', readonly name: Name }
  | { readonly do: 'kill', readonly name: Name }
  /** Kills all processes at once, and takes from the disk what was not synced; `seed` decides how much of it. */
  | { readonly do: 'power-cut', readonly seed: number }
  /** Kills it in the middle of something, whenever that comes. */
  | { readonly do: 'kill-at', readonly name: Name, readonly moment: Moment }
  | { readonly do: 'stop', readonly name: Name }
  | { readonly do: 'upload', readonly upload: Upload }
  /** Until the moment comes or all uploads have ended. */
  | { readonly do: 'wait', readonly moment: Moment }
  /** Until all uploads have ended. */
  | { readonly do: 'join' }
  /** So many small files, a few at a time, and until all uploads have ended. */
  | { readonly do: 'crowd', readonly id: string, readonly to: Name, readonly count: number }
  | { readonly do: 'read', readonly id: string, readonly from: Name, readonly what: 'receipt' | 'content' | 'range' | 'leave' }
  /** Begins to read a content, and takes nothing of it until `go-on`. */
  | { readonly do: 'stand', readonly id: string, readonly from: Name }
  /** Those that stand read the rest. */
  | { readonly do: 'go-on' }
  | { readonly do: 'delete', readonly id: string, readonly from: Name }
  | { readonly do: 'fault', readonly fault: B2Fault }
  | { readonly do: 'throttle', readonly bytesPerSecond: number, readonly latencyMs: number, readonly isShared?: boolean }
  | { readonly do: 'refuse' }
  /** B2 is well again. */
  | { readonly do: 'lift' }
  | { readonly do: 'disk', readonly name: Name, readonly fault: DiskFault }
  /** Its disk is well again. */
  | { readonly do: 'mend', readonly name: Name }
  /** The command, on its own; `end` comes at a moment. */
  | { readonly do: 'promote', readonly end?: { readonly signal: 'SIGKILL' | 'SIGTERM', readonly moment: Moment } }
  /** So many commands at once. While no service runs and both stores are well, they leave nothing. */
  | { readonly do: 'share', readonly commands: number }
  /** Lifts all faults, waits until all is settled, and compares all that there is with all that there should be. */
  | { readonly do: 'settle' }

/** What an episode does: the settings of its services, then step after step. */
export interface Script {
  readonly seed: number
  readonly env: Readonly<Record<string, string>>
  readonly steps: readonly Step[]
}

/** One line of JSON for the settings, and one for each step. */
export function formatScript ({ seed, env, steps }: Script): string {
  return [{ seed, env }, ...steps].map(line => `${JSON.stringify(line)}\n`).join('')
}

/** @throws {SyntaxError} for what is no script. Empty lines, and those that begin with `#`, are passed over. */
export function parseScript (text: string): Script {
  const [head, ...steps] = text.split('\n').filter(line => line.trim() !== '' && !line.startsWith('#')).map(line => JSON.parse(line))
  if (typeof head?.seed !== 'number' || typeof head.env !== 'object') throw new SyntaxError('The first line of a script has a seed and an env')
  return { seed: head.seed, env: head.env, steps }
}
