import { PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { CircuitBreaker } from '../../../services/circuit-breaker.ts'
import { UploadError } from '../../../services/upload-errors.ts'
import { bytes, sha256 } from '../../support/run/bytes.ts'
import { UNAVAILABLE } from '../../support/b2/scripted-b2.ts'
import { CORRELATION, KEY, PART, setTransferStage, storedLocally } from '../../support/intake/transfer-stage.ts'

const MIB = 1_048_576
const WINDOW = 2 * PART + MIB
const OPEN = { error_code: 'auth_error', detail: 'B2 did not accept the credentials' } as const

function openCircuit (breaker: CircuitBreaker): void {
  breaker.tryAcquire(true)!.fail({ ...OPEN, weight: 'hard' })
}

async function until (condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

t.test('while the circuit is open nothing goes to B2, and the receipt says why', async t => {
  const stage = await setTransferStage(t)
  openCircuit(stage.breaker)
  for (const size of [10, 3 * PART]) {
    const content = bytes(size)
    const { receipt, failures } = stage.transfer(content, { expectedBytes: size })
    t.match(await receipt, { storage: 'local', fallback_from_b2: true, fallback_reason: OPEN, track: { sha256: sha256(content) } })
    t.same(failures, [{ ...OPEN, raw: 'The circuit is open.', attempts: 0 }])
    t.ok((await storedLocally(stage)).content.equals(content))
    await stage.local.remove(KEY)
  }
  t.same([stage.b2.puts, stage.b2.uploads], [[], []])
})

t.test('only an upload that can\'t be lost tries whether B2 has recovered', async t => {
  const cases: [name: string, size: number, expectedBytes: number | undefined, tries: boolean][] = [
    ['it is all there', 10, undefined, true],
    ['it is all there, of a length that nobody told', 64 * 1_024, undefined, true],
    ['it fits the window', PART + 1, WINDOW, true],
    ['it may be too large', PART + 1, WINDOW + 1, false],
    ['nobody knows how large it is', PART + 1, undefined, false],
  ]
  for (const [name, size, expectedBytes, tries] of cases) {
    const stage = await setTransferStage(t, { breaker: { resetMs: 0 } })
    openCircuit(stage.breaker)
    const { receipt } = stage.transfer(bytes(size), expectedBytes === undefined ? {} : { expectedBytes })
    t.equal((await receipt).storage, tries ? 'b2' : 'local', name)
    t.equal(stage.breaker.state, tries ? 'closed' : 'open')
  }
})

t.test('what an upload does not say of B2 leaves the circuit as it was, for the next one to try', async t => {
  const stage = await setTransferStage(t, { breaker: { resetMs: 0 } })
  openCircuit(stage.breaker)
  await t.rejects(stage.transfer(bytes(10), { complete: async () => { throw new Error('broken form') } }).receipt, { message: 'broken form' })
  t.equal(stage.breaker.state, 'open')
  t.match(await stage.transfer(bytes(10)).receipt, { storage: 'b2' })
})

t.test('one upload tries it at a time: another that had begun goes to local storage', async t => {
  const stage = await setTransferStage(t, { breaker: { resetMs: 0 } })
  openCircuit(stage.breaker)
  const source = new PassThrough()
  source.write(bytes(100_000))
  const late = stage.transfer(source, { expectedBytes: 100_001 })
  await until(() => late.intake.gathered.byteLength === 100_000)
  let answer = (): void => {}
  stage.b2.onPut = async () => await new Promise(resolve => { answer = () => resolve({ ok: true, key: '', firstTry: true }) })
  const probe = stage.transfer(bytes(10))
  await until(() => stage.b2.puts.length === 1)
  t.equal(stage.breaker.state, 'half_open')
  source.end(bytes(1))
  t.match(await late.receipt, { storage: 'local', fallback_reason: OPEN })
  answer()
  t.match(await probe.receipt, { storage: 'b2' })
  t.equal(stage.breaker.state, 'closed')
})

for (const moment of ['before', 'while']) {
  t.test(`a service that ends ${moment} B2 is asked does not wait for it: what is all there is stored locally`, async t => {
    for (const size of [10, PART + 1]) {
      const stage = await setTransferStage(t, { breaker: { threshold: 1 } })
      const end = new AbortController()
      const content = bytes(size)
      const cutAnswer = { ...UNAVAILABLE, weight: 'hard' as const }
      stage.b2.onPut = async signal => {
        if (signal?.aborted !== true) await new Promise(resolve => signal?.addEventListener('abort', resolve))
        return cutAnswer
      }
      stage.b2.onPart = () => {}
      if (moment === 'before') end.abort(new UploadError('shutting_down', 'The end.'))
      const { receipt, failures } = stage.transfer(content, { expectedBytes: size, signal: end.signal })
      if (moment === 'while') {
        await until(() => stage.b2.puts.length === 1 || stage.b2.uploads[0]?.parts.length === 2)
        end.abort(new UploadError('shutting_down', 'The end.'))
      }
      const found = await receipt
      t.match(found, { storage: 'local', fallback_reason: { error_code: 'timeout', detail: /had to stop/ }, track: { sha256: sha256(content) } })
      t.match(failures, [{ error_code: 'timeout', attempts: UNAVAILABLE.attempts }])
      t.ok((await storedLocally(stage)).content.equals(content))
      t.same(stage.b2.uploads.map(({ isAborted }) => isAborted), size > PART ? [true] : [])
      t.same([stage.b2.forgotten, stage.breaker.state, stage.breaker.lastError], [[], 'closed', null], 'B2 did not fail')
    }
  })
}

t.test('what is not all there any more when the service ends is not stored, nor kept in B2', async t => {
  const stage = await setTransferStage(t)
  const end = new AbortController()
  stage.b2.onPart = (upload, part, last) => {
    if (last) end.abort(new UploadError('shutting_down', 'The end.'))
    else upload.acknowledge(part)
  }
  await t.rejects(stage.transfer(bytes(4 * PART), { signal: end.signal }).receipt, { name: 'UploadError', error_code: 'shutting_down' })
  await turn()
  t.same([stage.b2.forgotten, stage.breaker.state], [[[KEY, CORRELATION]], 'closed'])
  t.equal(await stage.local.find(KEY), undefined)
})
