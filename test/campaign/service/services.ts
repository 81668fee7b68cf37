import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { atMoment } from '../trouble/moments.ts'
import { cutPower } from '../disk/power-cut.ts'
import { hasSetAside, isHere } from '../judge/inspect.ts'
import { checkProcess } from './process-checks.ts'
import type { Process } from './process.ts'
import type { Moment, Name, Step } from '../script.ts'
import { Random } from '../seed.ts'
import { Spares } from './spares.ts'
import type { Stage } from '../stage.ts'
import type { Uploads } from '../clients/uploads.ts'
import { Violation } from '../judge/violation.ts'

const END_MS = 40_000
const PROMOTE_MS = 120_000

/** The services of an episode, and the commands beside them. */
export class Services {
  readonly #stage: Stage
  readonly #uploads: Uploads
  readonly #journal: string
  readonly #spares: Spares
  readonly #services = new Map<Name, Process>()
  readonly #all: Process[] = []
  readonly #running = new Set<Process>()
  readonly #traps = new Map<Name, () => void>()
  #dying: Promise<void> = Promise.resolve()

  /** @param base where things may be kept */
  constructor (stage: Stage, uploads: Uploads, base: string) {
    this.#stage = stage
    this.#uploads = uploads
    this.#journal = join(base, 'journal')
    this.#spares = new Spares(base)
  }

  /** The service of this name, where it runs. */
  running (name: Name): Process | undefined {
    const service = this.#services.get(name)
    return service === undefined || service.hasExited || service.ending !== undefined ? undefined : service
  }

  /** Those that were ever started. */
  get names (): Name[] {
    return [...this.#services.keys()]
  }

  async start (name: Name): Promise<void> {
    this.#traps.get(name)?.()
    await this.quiet()
    if (this.running(name) !== undefined) return
    const before = this.#services.get(name)
    if (before !== undefined) await this.#bury(before)
    const service = this.#take()
    this.#services.set(name, service)
    await service.begin('server', { ...this.#stage.env, CAMPAIGN_JOURNAL: this.#journal })
    await service.listening()
    this.#stage.say(`# ${name} listens at ${service.url}`)
  }

  #take (): Process {
    const process = this.#spares.take()
    this.#all.push(process)
    this.#running.add(process)
    return process
  }

  async kill (name: Name): Promise<void> {
    const service = this.running(name)
    if (service === undefined) return
    this.#stage.tally.count('SIGKILL')
    await service.kill()
    await this.#bury(service)
  }

  killAt (name: Name, moment: Moment): void {
    this.#traps.get(name)?.()
    this.#traps.set(name, atMoment(this.#stage.b2, moment, () => {
      this.#stage.say(`# ${name} is killed`)
      this.#dying = this.#dying.then(async () => await this.kill(name))
    }))
  }

  /** Resolves when nobody is being killed. */
  async quiet (): Promise<void> {
    await this.#dying
  }

  async cutPower (seed: number): Promise<void> {
    const { directory, tally, say } = this.#stage
    await this.quiet()
    tally.count('power cuts')
    await Promise.all(this.names.map(name => this.#services.get(name)!.kill()))
    for (const name of this.names) await this.#bury(this.#services.get(name)!)
    say(`# ${await cutPower(directory, this.#journal, new Random(seed))}`)
  }

  async stop (name: Name): Promise<void> {
    await this.quiet()
    const service = this.running(name)
    if (service === undefined) return
    this.#stage.tally.count('SIGTERM')
    service.terminate()
    const allowed = Number(this.#stage.env['SHUTDOWN_GRACE_MS']) + END_MS
    const end = await Promise.race([service.exited, delay(allowed, undefined, { ref: false })])
    if (end === undefined) throw new Violation('no-end', `${name} did not end within ${allowed} ms of SIGTERM: ${service.describe()}`)
    if (end.code !== 0 && !(service.mayDie && end.signal === 'SIGKILL')) throw new Violation('exit-code', `${name} ended with ${JSON.stringify(end)}: ${service.describe()}`)
    await this.#bury(service)
  }

  async promote (end: Extract<Step, { do: 'promote' }>['end'], args: readonly string[] = []): Promise<number | null> {
    const { b2, env, tally, say } = this.#stage
    const command = this.#take()
    const off = end === undefined
      ? () => {}
      : atMoment(b2, end.moment, () => {
        tally.count(`${end.signal} of a promotion`)
        if (end.signal === 'SIGTERM') command.terminate()
        else void command.kill()
      })
    await command.begin('promote', { ...env, CAMPAIGN_JOURNAL: this.#journal }, args)
    const ended = await Promise.race([command.exited, delay(PROMOTE_MS, undefined, { ref: false })])
    off()
    if (ended === undefined) throw new Violation('no-end', `the promotion did not end: ${command.describe()}`)
    say(`# promote ended with ${ended.code ?? ended.signal}: ${command.output.at(-1)}`)
    const allowed = command.ending === undefined ? [0, 1] : [0, 1, 143]
    // Either signal ends one that has not begun yet.
    if (!(ended.signal !== null && command.ending !== undefined) && !allowed.includes(ended.code ?? -1)) throw new Violation('exit-code', `promote ended with ${ended.code}: ${command.describe()}`)
    await this.#bury(command)
    return ended.code
  }

  /** Commands that share what waits, and are well: who says that nothing is left is right, and nobody has a reason to say anything else. */
  async share (commands: number): Promise<void> {
    const { directory, expectations, trouble, tally, say } = this.#stage
    await this.quiet()
    const hadTrouble = trouble.watch()
    const isAlone = this.names.every(name => this.running(name) === undefined) && !await hasSetAside(directory)
    const waiting = expectations.of('promised').filter(expected => isHere(directory, expected))
    tally.count('files that commands share', waiting.length)
    const codes = await Promise.all(Array.from({ length: commands }, async () => await this.promote(undefined)))
    const left = waiting.filter(expected => isHere(directory, expected))
    say(`# of ${waiting.length} files ${left.length} are left, exit codes ${codes.join(', ')}`)
    if (!isAlone || hadTrouble()) return
    if (left.length > 0 || codes.some(code => code !== 0)) throw new Violation('not-shared', `${left.length} of ${waiting.length} files are left, exit codes ${codes.join(', ')}`)
  }

  async #bury (process: Process): Promise<void> {
    await process.exited
    await this.#uploads.endedWith(process)
  }

  /** @throws {Violation} where one ended, said or took what it should not */
  async check (): Promise<void> {
    for (const process of this.#running) {
      await checkProcess(process, this.#stage.env)
      if (process.hasExited) this.#running.delete(process)
    }
  }

  /** All that processes wrote, one after the other. */
  get log (): string[] {
    return this.#all.flatMap(({ lines, output }) => [...lines.map(line => JSON.stringify(line)), ...output])
  }

  async close (): Promise<void> {
    for (const off of this.#traps.values()) off()
    await Promise.all([...this.#running].map(process => process.kill()))
    await this.#spares.close()
    await this.#dying.catch(() => {})
  }
}
