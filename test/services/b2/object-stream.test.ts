import { once } from 'node:events'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { ObjectStream } from '../../../services/b2/object-stream.ts'
import { B2ReadError } from '../../../services/b2/read-requests.ts'
import { rounds } from '../../support/run/loops.ts'
import { bytes, sha256 } from '../../support/service/service.ts'

const PARK_MS = 40
const CONTENT = bytes(400_000)

/** How a body ends before its time, and the chunks that it has got by then. */
interface Script { readonly breakAt?: number, readonly chunkBytes?: number, readonly delayMs?: number }

/** Bodies as connections give them: what nobody has read is lost with the connection, and that takes its time to close. */
function bodyFrom (position: number, { breakAt = Infinity, chunkBytes = 65_536, delayMs = 0 }: Script = {}): Readable {
  return new Readable({
    highWaterMark: chunkBytes,
    read () {
      setTimeout(() => {
        if (position >= breakAt) return this.destroy(new Error('reset'))
        const chunk = CONTENT.subarray(position, Math.min(position + chunkBytes, breakAt))
        position += chunk.byteLength
        this.push(chunk.byteLength === 0 ? null : chunk)
      }, delayMs)
    },
    destroy (error, done) {
      this.emit('gone')
      setTimeout(done, 10, error)
    },
  })
}

function open (scripts: Script[] = [], parkMs = PARK_MS) {
  const asked: number[] = []
  const controller = new AbortController()
  const body = bodyFrom(0, scripts[0])
  const stream = new ObjectStream(body, {
    first: 0,
    end: CONTENT.byteLength,
    reopen: async next => {
      asked.push(next)
      await wait(15) // longer than a connection takes to close
      return bodyFrom(next, scripts[asked.length])
    },
    failure: cause => new B2ReadError({ error_code: 'network_error', detail: String(cause), raw: '', weight: 'soft', retryable: true }),
    scope: { signal: controller.signal, abort: () => controller.abort(), done () {} },
    parkMs,
  })
  return { stream, asked, body }
}

// The timer that looks at readers keeps no process alive.
const alive = setInterval(() => {}, 1_000)
t.teardown(() => clearInterval(alive))

t.test('a reader that goes on before the body it gave up is closed gets each byte once', async t => {
  const { stream, asked, body } = open([{}, { delayMs: 80 }]) // a second request would come after 250 ms
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => { chunks.push(chunk) })
  await once(stream, 'data')
  stream.pause()
  const ended = once(stream, 'end')
  body.once('gone', () => stream.resume())
  await ended
  t.equal(sha256(Buffer.concat(chunks)), sha256(CONTENT))
  t.equal(asked.length, 1, 'and B2 is asked once')
})

t.test('a reader that stands holds nothing, asks for nothing, and goes on where it was', async t => {
  const { stream, asked } = open()
  await once(stream, 'readable')
  const first = stream.read() as Buffer
  await wait(4 * PARK_MS)
  t.same(asked, [])
  const rest = await buffer(stream)
  t.equal(sha256(Buffer.concat([first, rest])), sha256(CONTENT))
  t.ok(asked.length === 1 && asked[0]! <= first.byteLength + 16_384)
})

t.test('no byte is lost or doubled, wherever bodies break and readers pause', async t => {
  await Promise.all(Array.from({ length: rounds(30, 1_000) }, async () => {
    const random = (below: number): number => Math.floor(Math.random() * below)
    let at = 0
    const scripts: Script[] = Array.from({ length: 2 }, () => ({ breakAt: (at += random(200_000)), chunkBytes: 1 + random(90_000) }))
    const { stream, asked } = open(scripts, 4)
    const chunks: Buffer[] = []
    for await (const chunk of stream) {
      chunks.push(chunk as Buffer)
      if (random(8) === 0) await wait(random(12))
    }
    t.equal(sha256(Buffer.concat(chunks)), sha256(CONTENT), JSON.stringify({ scripts, asked }))
  }))
})
