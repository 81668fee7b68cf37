import { watch } from 'node:fs'
import type { Test } from 'tap'
import { b2Env, bytes, inB2, post, put, sha256, startB2, startService } from './service.ts'

/** Uploads files of all sizes around the edges of a part and of the window, and a large one: each arrives in B2, and nothing touches the disk. */
export async function uploadEverySize (t: Test, { part, window, largest }: { part: number, window: number, largest: number }): Promise<void> {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_PART_BYTES: String(part), REPLAY_WINDOW_BYTES: String(window) })
  const created: (string | null)[] = []
  const watcher = watch(service.dir, { recursive: true }, (_event, name) => { created.push(name) })
  t.teardown(() => { watcher.close() })

  for (const size of [0, 1, part - 1, part, part + 1, window - 1, window, window + 1, largest]) {
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
      t.same(receipts.map(({ key }) => key), size > part ? [`${stored?.key}.receipt.json`] : [], 'what came in parts has its receipt beside it')
      t.same(b2.unfinishedUploads(), [])
      b2.reset()
    }
  }
  t.same(created, [])
}
