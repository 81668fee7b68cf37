import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import { bytes, put, sha256 } from '../../support/service/service.ts'
import type { Answer, TestService } from '../../support/service/service.ts'
import { contentOf, get, receiptOf } from '../../support/service/stored-files.ts'
import { MIB, PART } from '../scene.ts'
import type { Scene } from '../scene.ts'
import { isStored, nameIn, serviceScene } from './scene.ts'
import { withOutage } from '../target.ts'
import type { Target } from '../target.ts'

/** The circuit opens with the first failure, and what fell back is promoted soon after the server is well again. */
const SHORT = {
  B2_PART_BYTES: String(PART),
  B2_MAX_ATTEMPTS: '2',
  BREAKER_THRESHOLD: '1',
  BREAKER_RESET_MS: '500',
  PROMOTE_INTERVAL_MS: '250',
}

/** What the service does while the server is away, and once it is back. */
export async function outageContract (t: Test, target: Target): Promise<void> {
  await withOutage(t, target, 'the server goes away in the middle of an upload', async (t, { kill, revive }) => {
    await serviceScene(t, target, 'nothing is lost, and all of it is in the bucket later', async (t, scene) => {
      const service = await scene.start(SHORT)
      const before = await put(service, bytes(1_000))
      t.equal(before.body.storage, 'b2')
      const content = bytes(12 * MIB)
      const isAway = new AbortController()
      const upload = putInHalves(service, content, isAway.signal)
      await partIsStored(scene)
      await kill()
      isAway.abort()
      const answer = await upload
      isStored(t, answer, content, 'local', 'network_error')
      const small = await put(service, bytes(1_000))
      t.match(small.body, { storage: 'local', fallback_reason: { error_code: 'network_error' } }, 'the circuit is open')
      t.match((await get(service, '/ready')).body, { status: 'degraded', b2: { state: 'open', last_error: { error_code: 'network_error' } }, pending_promotions: 2 })
      t.equal(await contentOf(service, nameIn(answer.body.track.key)), sha256(content))
      t.match(await receiptOf(service, nameIn(before.body.track.key)), { status: 503, body: { error_code: 'storage_unavailable' } }, 'never 404')

      await revive()
      await arePromoted(t, scene, service, [answer, small])
      await scene.settles(t, [before, answer, small].map(stored => nameIn(stored.body.track.key)).sort())
    })
  })

  await withOutage(t, target, 'the server goes away in the middle of a large file', async (t, { kill, revive }) => {
    await serviceScene(t, target, 'the parts that it has acknowledged stay there, the rest is kept, and both are joined later', async (t, scene) => {
      const service = await scene.start({ ...SHORT, REPLAY_WINDOW_BYTES: String(MIB) })
      const content = bytes(22 * MIB)
      const isAway = new AbortController()
      const upload = putInHalves(service, content, isAway.signal)
      await partIsStored(scene, 2)
      await partIsReleased(service)
      await kill()
      isAway.abort()
      const answer = await upload
      t.match(answer, { status: 202, body: { storage: 'split', fallback_reason: { error_code: 'network_error' }, track: { size_bytes: 22 * MIB, sha256: sha256(content) } } })
      const { split, track: { key } } = answer.body
      t.ok([PART, 2 * PART].includes(split.b2_bytes), `B2 has ${split.b2_bytes} bytes`)
      t.equal(split.b2_bytes + split.local_bytes, 22 * MIB)
      t.match((await receiptOf(service, nameIn(key))).body, { storage: 'split', location: key, split })
      t.match(await get(service, `/uploads/${nameIn(key)}/content`), { status: 503, body: { error_code: 'storage_unavailable' } })

      await revive()
      await arePromoted(t, scene, service, [answer])
      await scene.settles(t, [nameIn(key), `${nameIn(key)}.receipt.json`])
      t.same(await service.localFiles(), [])
    })
  })

  await withOutage(t, target, 'the server stands still', async (t, { freeze, thaw, stallMs }) => {
    await serviceScene(t, target, 'uploads go on without it, and they are in the bucket when it goes on', async (t, scene) => {
      const service = await scene.start({ ...SHORT, B2_STALL_TIMEOUT_MS: String(stallMs), BREAKER_THRESHOLD: '2' })
      const contents = [bytes(100_000), bytes(12 * MIB)] as const
      const standsStill = new AbortController()
      const upload = putInHalves(service, contents[1], standsStill.signal)
      await partIsStored(scene)
      freeze()
      standsStill.abort()
      const answers = await Promise.all([put(service, contents[0]), upload])
      for (const [index, answer] of answers.entries()) isStored(t, answer, contents[index]!, 'local', 'timeout')
      await service.log.until(({ event }) => event === 'breaker.open')
      thaw()
      await arePromoted(t, scene, service, answers)
      await scene.settles(t, answers.map(answer => nameIn(answer.body.track.key)).sort(), true)
    })
  })
}

/** Uploads with the second half held back until `go` fires. */
async function putInHalves ({ url }: TestService, content: Buffer, go: AbortSignal): Promise<Answer> {
  const half = content.byteLength / 2
  const body = new ReadableStream({
    start: controller => controller.enqueue(content.subarray(0, half)),
    async pull (controller) {
      await once(go, 'abort')
      controller.enqueue(content.subarray(half))
      controller.close()
    },
  })
  const response = await fetch(`${url}/uploads/file.bin`, { method: 'PUT', body, duplex: 'half' } as RequestInit)
  return { status: response.status, headers: response.headers, body: await response.json() }
}

/** Resolves when the server has so many parts of an upload. */
async function partIsStored ({ s3, prefix }: Scene, count = 1): Promise<void> {
  for (;;) {
    for (const { key, uploadId } of await s3.unfinished(prefix)) {
      if ((await s3.parts(key, uploadId)).length >= count) return
    }
    await wait(20)
  }
}

/** Resolves when no more than one part is held in memory: of two that are stored, one at least was acknowledged. */
async function partIsReleased (service: TestService): Promise<void> {
  for (;;) {
    const metrics = await (await fetch(`${service.url}/metrics`)).text()
    if (Number(/^upload_memory_held_bytes (\d+)$/m.exec(metrics)![1]) <= PART) return
    await wait(20)
  }
}

/** All these files get to the bucket by themselves, whole, and the service is as well as before. */
async function arePromoted (t: Test, { s3 }: Scene, service: TestService, answers: readonly Answer[]): Promise<void> {
  await service.log.until(() => service.log.of('promotion.done').length >= answers.length)
  for (const { body: { track } } of answers) {
    t.equal(sha256(await s3.bytes(track.key)), track.sha256, 'the bucket has it')
    t.match((await receiptOf(service, nameIn(track.key))).body, { storage: 'b2', location: track.key, track })
    t.equal(await contentOf(service, nameIn(track.key)), track.sha256)
  }
  t.match((await get(service, '/ready')).body, { status: 'ok', b2: { state: 'closed' }, pending_promotions: 0 })
  for (const event of ['breaker.open', 'breaker.half_open', 'breaker.closed']) t.ok(service.log.of(event).length > 0, event)
}
