import { PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { BufferPool } from '../../../services/memory/buffer-pool.ts'
import { CircuitBreaker } from '../../../services/circuit-breaker.ts'
import type { OpenFile } from '../../../services/local/store.ts'
import { MemoryAccount } from '../../../services/memory/account.ts'
import { PromotionMemory } from '../../../services/promotion/memory.ts'
import { PromotionUpload } from '../../../services/promotion/upload.ts'
import type { PromotionUploadOptions } from '../../../services/promotion/upload.ts'
import { newKey, newReceipt } from '../../fixtures/local-files.ts'
import { bytes } from '../../support/run/bytes.ts'
import { ScriptedB2 } from '../../support/b2/scripted-b2.ts'

const PART = 65_536

for (const [name, end] of [
  ['its time is over', ({ cut }: { cut: AbortController }) => { cut.abort() }],
  ['B2 fails', ({ b2 }: { b2: ScriptedB2 }) => { b2.uploads[0]!.fail() }],
] as const) {
  t.test(`a promotion ends where ${name} while it reads a part from a slow disk`, async t => {
    const b2 = new ScriptedB2(PART)
    // Nothing is acknowledged of an upload that has failed.
    b2.onPart = (upload, part) => { if (part === 1) upload.acknowledge(part) }
    const [stop, cut] = [new AbortController(), new AbortController()]
    const account = new MemoryAccount({ budgetBytes: 4 * PART, windowBytes: PART, partBytes: PART })
    const stores = { b2: b2.store, memory: new PromotionMemory(account), pool: new BufferPool(4 * PART), breaker: new CircuitBreaker({ threshold: 0, resetMs: 1 }) }
    const disk = new PassThrough()
    const file: OpenFile = { size: 3 * PART, stream: () => disk, streamForReader: () => disk, close: async () => {} }
    const { track } = newReceipt(newKey())
    const upload = new PromotionUpload(stores as never, {
      track: { ...track, size_bytes: file.size }, context: undefined, stop: stop.signal, abort: cut.signal, onBytes () {},
    } satisfies PromotionUploadOptions)

    const stored = t.rejects(upload.store(file))
    disk.write(bytes(PART))
    while (b2.uploads.length === 0) await turn()
    end({ b2, cut })
    disk.write(bytes(PART))
    await stored
    t.ok(disk.destroyed)
    t.equal(account.heldBytes, 0)
  })
}
