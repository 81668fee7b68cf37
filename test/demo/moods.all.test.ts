import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { Readable } from 'node:stream'
import t from 'tap'
import type { LiveFile, LiveState } from '../../demo/live-state.ts'
import { LARGE_SAMPLE_NAME } from '../../demo/sample-names.ts'
import { LINE_HEADER, PacedRequest } from '../../demo/slow-line.ts'
import { startDemo } from '../../demo/start.ts'
import { startService } from '../support/service/service.ts'

const OUTCOMES = {
  '503s': 'service_unavailable',
  'wrong-key': 'auth_error',
  'cap-exceeded': 'quota_exceeded',
  stalled: 'timeout',
  down: 'network_error',
  healthy: 'b2',
}

t.test('the demo', async t => {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-test-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const demo = await startDemo({
    dir, port: 0, env: { LOG_LEVEL: 'silent', B2_STALL_TIMEOUT_MS: '1000', BREAKER_RESET_MS: '100', PROMOTE_INTERVAL_MS: '100' },
  })
  t.teardown(() => demo.close())
  const turn = (mood: string): Promise<Response> => fetch(`${demo.url}/demo/b2/${mood}`, { method: 'POST' })

  const { body } = await fetch(`${demo.url}/demo/events`)
  const lines = createInterface({ input: Readable.fromWeb(body as never) })
  const states: LiveState[] = []
  const watching = new Set<() => void>()
  lines.on('line', line => {
    if (line.startsWith('data: ')) states.push(JSON.parse(line.slice(6)))
    for (const look of watching) look()
  })
  const until = (holds: (state: LiveState) => boolean): Promise<void> => new Promise(resolve => {
    const look = (): void => {
      if (!holds(states.at(-1)!)) return
      watching.delete(look)
      resolve()
    }
    watching.add(look)
    if (states.length > 0) look()
  })

  for (const [mood, outcome] of Object.entries(OUTCOMES)) {
    await t.test(`with B2 ${mood}: ${outcome}`, async t => {
      t.same(await (await turn(mood)).json(), { b2: mood })
      await until(({ b2 }) => b2 === mood)
      const response = await fetch(`${demo.url}/uploads/song.mp3`, { method: 'PUT', body: 'la la la', headers: { 'x-correlation-id': mood } })
      const { storage, fallback_reason } = await response.json() as { storage: string, fallback_reason?: { error_code: string } }
      t.equal(fallback_reason?.error_code ?? storage, outcome)
      await until(({ files }) => files.some(({ id, storage: seen }) => id === mood && seen === storage))

      await turn('healthy')
      await until(({ circuit, pending_promotions, files }) => circuit === 'closed' && pending_promotions === 0 && files.every(file => file.storage === 'b2'))
    })
  }

  await t.test('with B2 unplugged in the middle of the large sample: split, and joined when it is plugged in again', async t => {
    const track = Buffer.from(await (await fetch(`${demo.url}/demo/samples/${LARGE_SAMPLE_NAME}`)).arrayBuffer())
    const bytesSoFar = 32 * 1_048_576
    t.ok(track.byteLength > bytesSoFar)
    const acknowledged = new Promise<void>(resolve => {
      let parts = 0
      const off = demo.b2.on('response', ({ operation }) => {
        if (operation !== 'UploadPart' || ++parts < 4) return // the first part goes when the window of 16 MiB is outgrown
        off()
        resolve()
      })
    })
    async function * body (): AsyncGenerator<Buffer> {
      yield track.subarray(0, bytesSoFar)
      await acknowledged
      await turn('down')
      yield track.subarray(bytesSoFar)
    }
    const response = await fetch(`${demo.url}/uploads/${LARGE_SAMPLE_NAME}`, {
      method: 'PUT', body: Readable.toWeb(Readable.from(body())) as never, duplex: 'half', headers: { 'x-correlation-id': 'large' },
    } as RequestInit)
    t.equal(response.status, 202)
    const { track: { sha256 }, split } = await response.json() as { track: { sha256: string }, split: { b2_bytes: number, local_bytes: number } }
    t.ok(split.b2_bytes > 0 && split.local_bytes > 0)
    t.equal(split.b2_bytes + split.local_bytes, track.byteLength)
    const isAt = (wanted: LiveFile['storage']) => ({ files }: LiveState) => files.some(({ id, first, storage }) => id === 'large' && first === 'split' && storage === wanted)
    await until(state => isAt('split')(state) && state.pending_promotions === 1)

    await turn('healthy')
    await until(state => isAt('b2')(state) && state.pending_promotions === 0)
    t.ok(demo.b2.objects().some(object => object.sha256 === sha256))
  })

  t.equal((await turn('sideways')).status, 400)
  t.equal((await fetch(`${demo.url}/demo/assets/nothing.js`)).status, 404)
  const { files } = states.at(-1)!
  await fetch(`${demo.url}/uploads/${files[0]!.name}`, { method: 'DELETE' })
  await until(state => state.files.length === files.length - 1)
  t.pass('a file that was deleted is shown no more')
  t.strictSame(await (await fetch(`${demo.url}/documentation/json`)).json(), JSON.parse(readFileSync(new URL('../../openapi.json', import.meta.url), 'utf8')),
    'what only the demo has is no part of the API')
})

t.test('the service itself has nothing of the demo', async t => {
  const { url } = await startService(t)
  for (const path of ['/', '/demo', '/demo/assets/page.js', '/demo/events']) t.equal((await fetch(`${url}${path}`)).status, 404, path)
  t.equal((await fetch(`${url}/demo/b2/down`, { method: 'POST' })).status, 404)
})

t.test('a request that asks for a slow line comes no faster than that, and whole', async t => {
  const server = createServer({ IncomingMessage: PacedRequest }, (request, response) => {
    let count = 0
    request.on('data', (chunk: Buffer) => { count += chunk.length }).on('end', () => response.end(String(count)))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const begunAt = performance.now()
  const response = await fetch(url, { method: 'POST', body: Buffer.alloc(500_000), headers: { [LINE_HEADER]: '1000000' } })
  t.equal(await response.text(), '500000')
  t.ok(performance.now() - begunAt > 400, 'only the last piece does not have to wait')
})
