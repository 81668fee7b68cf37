import { once } from 'node:events'
import { watch } from 'node:fs'
import type { Socket } from 'node:net'
import t from 'tap'
import { randomFrom } from '../support/faults/kills.ts'
import { begin, create, head, metadata, patch, PIECE } from '../support/resumable/tus.ts'
import { rounds } from '../support/run/loops.ts'
import { b2Env, bytes, inB2, sha256, startB2, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'

const MIB = 1_048_576
const PART = 5 * MIB
const CUTS = rounds(30, 200)
const SIZE = rounds(16, 40) * MIB + 12_345

/** Sends the beginning of what is left, and breaks the connection. */
async function sendAndCut (service: TestService, path: string, from: number, content: Buffer, to: number, isReset: boolean): Promise<void> {
  const request = begin(service, 'PATCH', path, { ...PIECE, 'upload-offset': from, 'content-length': content.byteLength - from })
  request.on('error', () => {})
  const [socket] = await once(request, 'socket') as [Socket]
  if (socket.connecting) await once(socket, 'connect')
  await new Promise(resolve => { request.write(content.subarray(from, to), resolve) })
  const closed = once(socket, 'close')
  if (isReset) socket.resetAndDestroy()
  else request.destroy()
  await closed
}

t.test(`a file whose connection breaks at ${CUTS} random places is whole, and little of it is sent again`, async t => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  t.comment(`SEED=${seed}`)
  const random = randomFrom(seed)
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_PART_BYTES: String(PART) })
  const written = new Set<string>()
  const watcher = watch(service.dir, { recursive: true }, (_event, name) => { if (name !== null && /resumable|tracks/.test(name)) written.add(name) })
  t.teardown(() => { watcher.close() })
  const content = Buffer.concat([id3('The Long Way'), bytes(SIZE)])
  const path = await create(t, service, content.byteLength, { 'upload-metadata': metadata({ filename: 'way.mp3', filetype: 'audio/mpeg', album: 'Ä' }) })
  // Some cuts are close to each other, or at the edges of parts.
  const places = Array.from({ length: CUTS }, (_, index) => index % 5 === 0 ? PART * (1 + random(Math.floor(SIZE / PART))) + random(3) - 1 : random(content.byteLength)).sort((a, b) => a - b)
  const connections: Socket[] = []
  service.app.server.on('connection', (socket: Socket) => { connections.push(socket) })

  let [offset, most, again] = [0, 0, 0]
  for (const place of places) {
    if (place <= offset) continue
    const before = connections.length
    await sendAndCut(service, path, offset, content, place, random(2) === 0)
    const answer = await head(service, path) // it waits for the request that broke off
    const arrived = offset + (connections[before]?.bytesRead ?? 0)
    const now = Number(answer.headers.get('upload-offset'))
    if (answer.status !== 200 || now < offset || now > place) t.fail(`after ${offset} to ${place} it is at ${now}, ${answer.status}`)
    most = Math.max(most, arrived - now)
    again += place - now
    offset = now
  }
  t.ok(most <= PART, `at most ${most} bytes that the service had read were sent again`)
  t.comment(`${again} bytes of ${content.byteLength} were sent again after ${CUTS} cuts, with those that were still on the line`)
  const last = await patch(service, path, offset, content.subarray(offset))
  t.equal(last.status, 204)

  const receipt = await (await fetch(`${service.url}${last.headers.get('content-location')}`)).json() as Answer['body']
  t.match(receipt, { storage: 'b2', track: { size_bytes: content.byteLength, sha256: sha256(content), filename: 'way.mp3', metadata: { album: 'Ä' }, audio: { title: 'The Long Way' } } })
  t.match(inB2(b2).files.map(file => file.sha256), [sha256(content)])
  t.same(b2.unfinishedUploads(), [])
  t.same(await service.localFiles(), [])
  t.same([...written], [], 'nothing was ever written locally')
  t.equal(service.app.uploads.heldBytes, 0)
})

/** The tag of an MP3, with a title. */
function id3 (title: string): Buffer {
  const text = Buffer.from(`\x03${title}`)
  const frame = Buffer.concat([Buffer.from('TIT2'), Buffer.from([0, 0, 0, text.byteLength, 0, 0]), text])
  return Buffer.concat([Buffer.from('ID3\x04\0\0'), Buffer.from([0, 0, 0, frame.byteLength]), frame, Buffer.from([0xff, 0xfb, 0x90, 0x64])])
}
