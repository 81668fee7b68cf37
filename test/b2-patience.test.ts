import t from 'tap'
import type { B2Result, PutOptions } from '../services/b2/store.ts'
import { setB2Stage } from './support/b2-stage.ts'
import { bytes, sha256 } from './support/service.ts'

// Longer than B2 may leave a client's bytes without a word.
const A_MINUTE = 60_000

t.test('a client\'s object fails when B2 acknowledges nothing for 45 s, and one for which nobody waits does not', async t => {
  const { b2, store } = await setB2Stage(t, { stallTimeoutMs: 10 * A_MINUTE })
  const content = bytes(1_000)
  const cut = new AbortController()
  const ended: string[] = []
  async function start (key: string, how: PutOptions): Promise<{ result: Promise<B2Result> }> {
    const hangs = b2.waitFor('fault', ({ key: hit }) => hit === key)
    const result = store.put({ key, contentType: 'audio/mpeg' }, content, sha256(content), how).finally(() => { ended.push(key) })
    await hangs
    return { result }
  }
  b2.fault({ operation: 'PutObject', action: 'hang', times: 2 })
  // The patient one first: it looks at the clock before the other does.
  const patient = await start('tracks/patient.mp3', { isPatient: true, signal: cut.signal })
  const client = await start('tracks/client.mp3', {})

  const now = performance.now.bind(performance)
  t.intercept(performance, 'now', { value: () => now() + A_MINUTE })
  t.match(await client.result, { ok: false, error_code: 'timeout', mayBeStored: true, raw: /B2_NO_ACKNOWLEDGEMENT/ })
  t.same(ended, ['tracks/client.mp3'])

  cut.abort()
  t.match(await patient.result, { ok: false })
})
