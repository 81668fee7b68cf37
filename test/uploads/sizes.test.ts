import { watch } from 'node:fs'
import t from 'tap'
import { b2Env, bytes, inB2, post, put, sha256, startB2, startService } from '../support/service/service.ts'

const MIB = 1_048_576
const PART = 8 * MIB
const WINDOW = 32 * MIB
const SIZES = [0, 1, PART - 1, PART, PART + 1, WINDOW - 1, WINDOW, WINDOW + 1, 300 * MIB]

t.test('every size arrives in B2 whole, and nothing is created on the local disk meanwhile', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' })
  const created: (string | null)[] = []
  const watcher = watch(service.dir, { recursive: true }, (_event, name) => { created.push(name) })
  t.teardown(() => { watcher.close() })

  for (const size of SIZES) {
    const content = bytes(size)
    const hash = sha256(content)
    for (const upload of [put, post]) {
      const answer = await upload(service, content, 'song.MP3')
      t.equal(answer.status, 201, `${upload.name} of ${size} bytes`)
      t.equal(answer.body.storage, 'b2')
      t.equal(answer.body.track.size_bytes, size)
      t.equal(answer.body.track.sha256, hash)
      const { files: [stored, ...others], receipts } = inB2(b2)
      t.equal(stored?.key, answer.body.location)
      t.equal(stored?.sha256, hash)
      t.same(others, [])
      t.same(receipts.map(({ key }) => key), size > PART ? [`${stored?.key}.receipt.json`] : [], 'what came in parts has its receipt beside it')
      t.same(b2.unfinishedUploads(), [])
      b2.reset()
    }
  }
  t.same(created, [])
})
