import { setTimeout as delay } from 'node:timers/promises'
import { bodyOf, filenameOf, lengthOf, startUpload } from './client.ts'
import type { UploadRun } from './client.ts'
import { contentOf, sha256Of } from './content.ts'
import type { Expected } from '../judge/expected.ts'
import { fileOf } from '../judge/inspect.ts'
import { failures, judgeUpload } from '../judge/judge.ts'
import { whenGivenLast } from '../trouble/moments.ts'
import type { Process } from '../service/process.ts'
import type { Upload } from '../script.ts'
import type { Stage } from '../stage.ts'
import { Violation } from '../judge/violation.ts'

const UPLOAD_MS = 120_000
const END_MS = 30_000

/** The clients that upload. */
export class Uploads {
  readonly #stage: Stage
  readonly #running = new Map<Expected, { readonly run: UploadRun, readonly judged: Promise<void> }>()
  #error: unknown

  constructor (stage: Stage) {
    this.#stage = stage
  }

  begin (upload: Upload, by: Process): void {
    const { b2, expectations, tally } = this.#stage
    if (expectations.get(upload.id) !== undefined) return
    tally.count('uploads')
    const total = lengthOf(bodyOf(upload))
    const expected: Expected = {
      upload,
      sha256: sha256Of(contentOf(upload.id, upload.size)),
      by,
      fate: 'running',
      key: undefined,
      storage: undefined,
      uploadId: undefined,
      isComplete: total === 0,
      wasAnswered: false,
      mayLackLine: false,
    }
    expectations.add(expected)
    const run = startUpload(by.url, upload, sent => { expected.isComplete = sent >= total })
    const off = upload.leave === 'late' ? whenGivenLast(b2, upload.id, run.leave) : () => {}
    const judged = this.#judge(expected, run).catch(error => { this.#error ??= error }).finally(() => {
      off()
      this.#running.delete(expected)
    })
    this.#running.set(expected, { run, judged })
  }

  async #judge (expected: Expected, run: UploadRun): Promise<void> {
    const { env, directory, trouble, tally, say } = this.#stage
    const { upload, by } = expected
    const hadTrouble = trouble.watch()
    const hadDiskTrouble = by.watchDisk()
    const outcome = await Promise.race([run.outcome, delay(UPLOAD_MS, undefined, { ref: false })])
    if (outcome === undefined) {
      run.leave()
      throw new Violation('hanging-upload', `${JSON.stringify(upload)} was not answered within ${UPLOAD_MS} ms`)
    }
    // Who may die in the middle of this is dead for sure a moment later.
    if (outcome.kind === 'lost' && by.mayDie) await Promise.race([by.exited, delay(END_MS, undefined, { ref: false })])
    if (outcome.kind === 'lost' && !outcome.wasConnected) expected.mayLackLine = true
    await judgeUpload(expected, outcome, { env, directory, hadTrouble: hadTrouble(), hadDiskTrouble: hadDiskTrouble() })
    const status = outcome.kind === 'answered' ? outcome.status : outcome.kind
    const code = outcome.kind === 'answered' ? /"error_code":"(\w+)"/.exec(String(outcome.body))?.[1] : undefined
    say(`# ${upload.id}: ${status} ${code ?? ''}, ${expected.fate} ${expected.storage ?? ''}`)
    tally.count(`answer ${[status, status === 201 || status === 202 ? expected.storage : code].join(' ').trim()}`)
    if (status === 201 && expected.storage === 'b2' && failures(expected).length > 0) tally.count('files joined at once')
  }

  /** Resolves when all have ended. */
  async ended (): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ judged }) => judged))
  }

  /** @throws {Violation} where an upload that has ended broke a promise */
  check (): void {
    if (this.#error !== undefined) throw this.#error
  }

  /** Bookkeeping after the end of a process: what it may have left behind. */
  async endedWith (process: Process): Promise<void> {
    const { b2, expectations, orphans } = this.#stage
    if (!process.mayHaveLeft) return
    // What it had sent may still be on its way.
    for (let looks = 0; looks < 20 && b2.requests.some(({ outcome }) => outcome === 'pending'); looks++) await delay(10)
    for (const { key, uploadId } of b2.unfinishedUploads()) if (this.#mayBeOf(process, key)) orphans.add(uploadId)
    for (const { key } of b2.objects()) {
      const file = fileOf(key)
      if (file !== undefined && b2.read(file) === undefined && this.#mayBeOf(process, file)) orphans.add(key)
    }
    await Promise.all([...this.#running].map(async ([{ by }, { judged }]) => { if (by === process) await judged }))
    expectations.ended(process)
  }

  /** Others are at theirs still. What is promised already was being promoted, perhaps by this process. */
  #mayBeOf (process: Process, key: string): boolean {
    const { b2, expectations } = this.#stage
    const first = b2.requests.find(request => request.key === key && request.headers['x-amz-meta-filename'] !== undefined)
    const owner = expectations.all().find(({ upload }) => filenameOf(upload.id) === first?.headers['x-amz-meta-filename'])
    return owner?.by === process || owner?.fate !== 'running'
  }

  async close (): Promise<void> {
    for (const { run } of this.#running.values()) run.leave()
    await this.ended()
  }
}
