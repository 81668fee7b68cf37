import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { bundle } from '../../../scripts/bundle.ts'
import { CALM, setPromotionStage } from './promotion.ts'
import type { PromotionStage } from './promotion.ts'
import { b2Env } from '../service/service.ts'

/** What runs the command from its source. */
export const program = (): string => bundle('cli/promote.ts')

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

/** A process and all that it prints; it ends with the test. Without `cwd` in an empty directory, so that no .env file is found. */
export async function begin (t: Test, file: string, args: readonly string[], env: Record<string, string>, cwd?: string): Promise<Running> {
  const child = spawn(file, args, {
    cwd: cwd ?? await emptyDirectory(t),
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const printed = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) child[name].setEncoding('utf8').on('data', text => { printed[name] += text })
  const closed = once(child, 'close')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await closed
  })
  return { child, ended: closed.then(([code]) => ({ code, ...printed })) }
}

export async function promote (t: Test, args: readonly string[], env: Record<string, string>, cwd?: string): Promise<Ended> {
  return await (await begin(t, process.execPath, [program(), ...args], env, cwd)).ended
}

export async function emptyDirectory (t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-'))
  t.teardown(async () => { await rm(dir, { recursive: true, force: true }) })
  return dir
}

export interface CommandStage extends PromotionStage {
  /** What points the command at the emulator and at the directory of the service, which runs beside it. */
  readonly env: Record<string, string>
  run (...args: string[]): Promise<Ended>
  begin (...args: string[]): Promise<Running>
}

export async function setCommandStage (t: Test, more: Record<string, string> = {}): Promise<CommandStage> {
  const stage = await setPromotionStage(t)
  const env = { ...b2Env(stage.b2), ...CALM, PROMOTE_CONCURRENCY: '1', LOCAL_STORAGE_DIR: stage.service.dir, ...more }
  return {
    ...stage,
    env,
    run: async (...args) => await promote(t, args, env),
    begin: async (...args) => await begin(t, process.execPath, [program(), ...args], env),
  }
}
