import { once } from 'node:events'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { assertErrorShape } from '../support/run/fuzz.ts'
import { HostileClient } from '../support/clients/hostile-client.ts'
import { API_KEY, hostileRequest, INJECTED, WRONG_KEY } from '../support/clients/hostile-requests.ts'
import type { HostileRequest } from '../support/clients/hostile-requests.ts'
import { seeded } from '../support/clients/leaving-client.ts'
import { rounds } from '../support/run/loops.ts'
import { scrape } from '../support/service/metrics.ts'
import { quiet } from '../support/run/quiet.ts'
import type { RawAnswer } from '../support/clients/raw-http.ts'
import { runServer } from '../support/service/server-process.ts'
import { b2Env, bytes, inB2, put, sha256, startB2 } from '../support/service/service.ts'

const MIB = 1_048_576
const REQUESTS = rounds(2_000, 20_000)
const CLIENTS = 16
const SEED = Number(process.env['FUZZ_SEED'] ?? 20260131)
const AUTHORIZATION = { authorization: `Bearer ${API_KEY}` }
/** Statuses of what never becomes a request, or not one of a route. */
const UNREAD = [400, 408, 413, 414, 431]
const KEY = /^tracks\/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(\.[a-z0-9]{1,8})?$/

/** What is wrong with the answers to a request; nothing, as a rule. */
function faultsOf ({ statuses, content, then, ids }: HostileRequest, answers: readonly RawAnswer[]): string[] {
  const faults: string[] = []
  const check = (fine: boolean, fault: string): void => { if (!fine) faults.push(fault) }
  check(then !== 'wait' || answers.length === 1, `${answers.length} answers`)
  check(ids === undefined || ids.join() === answers.map(({ headers }) => headers.get('x-correlation-id')).join(), 'not the answers that belong to the requests')
  for (const answer of answers) {
    const { status, headers } = answer
    check(statuses.includes(status), `status ${status}: ${answer.text.slice(0, 300)}`)
    check(!headers.has(INJECTED), 'an injected header')
    check(headers.get('x-content-type-options') === 'nosniff', 'no security headers')
    check(UNREAD.includes(status) || headers.get('x-frame-options') === 'DENY', 'not all security headers')
    check(/^[A-Za-z0-9._:-]{1,128}$/.test(headers.get('x-correlation-id') ?? ''), 'no correlation id')
    check(!answer.text.includes(WRONG_KEY) && !answer.text.includes(API_KEY), 'a key in the answer')
    if (status >= 400 && answer.text.startsWith('{')) assertErrorShape(answer)
    if (status !== 201) continue
    const { track } = answer.body
    check(content !== undefined, '201 for what is not whole')
    check(content === undefined || track.sha256 === sha256(content), `201 for other bytes than were sent: ${JSON.stringify(track)}`)
    check(KEY.test(track.key) && headers.get('location') === `/uploads/${track.key.slice('tracks/'.length)}`, `the key ${track.key}`)
    // eslint-disable-next-line no-control-regex -- control characters are what must not be there
    check(!/[/\\\u0000-\u001f]/.test(track.filename), `the name ${track.filename}`)
  }
  return faults
}

t.test(`${REQUESTS} requests of bad input leave the service healthy`, async t => {
  const b2 = await startB2(t)
  const around = t.testdir()
  const cwd = join(around, 'cwd')
  await mkdir(cwd)
  const server = runServer(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '30000', API_KEYS: API_KEY, UPLOAD_MAX_BYTES: String(MIB) }, { cwd, preload: 'test/fixtures/collects-when-told.ts' })
  const service = { url: await server.url() }
  const whole = bytes(1_000)
  const { body: { track: known } } = await put(service, whole, 'known.bin', AUTHORIZATION)
  const name = known.key.slice('tracks/'.length)

  const random = seeded(SEED)
  const below = (most: number): number => Math.floor(random() * most)
  const stored = new Set<string>([known.key])
  const faults: object[] = []
  const statuses: Record<string, number> = {}
  let left = 0
  async function attack (): Promise<void> {
    const client = new HostileClient(service.url)
    while (left-- > 0) {
      const request = hostileRequest(below, name)
      const found: string[] = []
      try {
        const answers = await client.send(request)
        found.push(...faultsOf(request, answers))
        for (const answer of answers) {
          statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
          if (answer.status === 201) stored.add(answer.body.track.key)
        }
      } catch (error) {
        found.push(String(error))
      }
      if (found.length > 0) faults.push({ family: request.family, found, sent: request.bytes.toString('latin1').replaceAll(API_KEY, '***').slice(0, 400) })
    }
    client.close()
  }
  /** Of what is left after garbage collection. */
  const measure = async () => {
    // The service may not have noticed yet who has left.
    while ((await scrape(service, AUTHORIZATION)).samples.get('uploads_in_flight') !== 0) { /* it will */ }
    server.child.send('collect')
    await once(server.child, 'message')
    const { samples } = await scrape(service, AUTHORIZATION)
    const of = (metric: string): number => samples.get(metric) ?? NaN
    return {
      rss: of('process_resident_memory_bytes'),
      heap: of('nodejs_heap_size_used_bytes'),
      external: of('nodejs_external_memory_bytes'),
      fds: of('process_open_fds'),
      held: of('upload_memory_held_bytes'),
      inFlight: of('uploads_in_flight'),
    }
  }

  const before = await measure()
  const halves = []
  for (let half = 0; half < 2; half++) {
    left = REQUESTS / 2
    await Promise.all(Array.from({ length: CLIENTS }, attack))
    halves.push(await measure())
  }
  t.comment(JSON.stringify({ seed: SEED, statuses, before, halves }))
  t.same(faults.slice(0, 5), [], `seed ${SEED}, ${faults.length} wrong answers`)
  const [first, second] = halves as [typeof before, typeof before]
  t.ok(second.rss < first.rss + 64 * MIB, `${Math.round((second.rss - first.rss) / MIB)} MiB more after the second half`)
  t.ok(second.heap < first.heap + 4 * MIB, `${Math.round((second.heap - first.heap) / 1_024)} KiB more in the heap`)
  t.ok(second.external < first.external + 4 * MIB, `${Math.round((second.external - first.external) / 1_024)} KiB more outside it`)
  t.match(second, { held: 0, inFlight: 0 }, 'nothing is under way')
  t.ok(second.fds < before.fds + CLIENTS, `${second.fds} open files and connections, ${before.fds} before`)

  const content = await fetch(`${service.url}/uploads/${name}/content`, { headers: AUTHORIZATION })
  t.equal(sha256(new Uint8Array(await content.arrayBuffer())), sha256(whole), 'what was there before is there')
  const more = await put(service, bytes(9 * MIB / 16), 'more.bin', AUTHORIZATION)
  t.equal(more.status, 201, 'uploads work')
  stored.add(more.body.track.key)
  await quiet(b2)
  server.child.kill('SIGTERM')
  t.equal(await server.exited, 0)
  t.equal(server.stderr(), '')
  t.same(server.lines.filter(({ level }) => level >= 50), [], 'no error in the log')
  t.notOk(server.lines.some(line => [API_KEY, WRONG_KEY].some(key => JSON.stringify(line).includes(key))), 'no key in the log')

  t.strictSame(new Set(inB2(b2).files.map(({ key }) => key)), stored, 'the files in B2 are those that were answered with 201')
  t.same(b2.unfinishedUploads(), [])
  t.same(await server.localFiles(), [])
  t.same([await readdir(around), await readdir(cwd)], [['cwd'], ['storage']], 'nothing was made beside the storage directory')
})
