import t from 'tap'
import { startServiceProcess } from '../support/service/memory-load.ts'
import { connect } from '../support/clients/raw-http.ts'
import { startB2 } from '../support/service/service.ts'

const MIB = 1_048_576
const CHUNK = Buffer.alloc(65_536)

t.test('many refused clients that send a lot take no memory', async t => {
  const service = await startServiceProcess(t, await startB2(t), { API_KEYS: 'a-key-that-is-long-enough', UPLOAD_MAX_BYTES: String(100 * MIB) })
  const key = 'authorization: Bearer a-key-that-is-long-enough\r\n'
  const heads = ['PUT /uploads/a', 'POST /uploads'].flatMap(line => [
    [`${line} HTTP/1.1\r\nhost: x\r\ncontent-length: ${90 * MIB}\r\n\r\n`, 401],
    [`${line} HTTP/1.1\r\nhost: x\r\n${key}content-type: multipart/form-data; boundary=b\r\ncontent-length: ${200 * MIB}\r\n\r\n`, 413],
  ] as const)
  const sendAll = async (clients: number, bytesEach: number): Promise<void> => {
    await Promise.all(Array.from({ length: clients }, async (_, index) => {
      const [head, status] = heads[index % heads.length]!
      const client = await connect(t, service)
      await client.send(head)
      t.equal((await client.answer())?.status, status)
      for (let sent = 0; sent < bytesEach; sent += CHUNK.byteLength) await client.send(CHUNK)
      client.socket.destroy()
    }))
  }
  await sendAll(40, 4 * MIB) // as much garbage as there ever is: V8 collects what is outside its heap each 64 MiB
  const before = await service.report()
  await sendAll(40, 16 * MIB)
  const after = await service.report()
  t.comment(JSON.stringify({ before, after }))
  t.equal(after.peakHeld, 0, 'the budget was never touched')
  t.equal(after.inFlight, 0)
  const growth = after.peakRss - before.peakRss
  t.ok(growth < 64 * MIB, `${Math.round(growth / MIB)} MiB more for 640 MiB that came`)
})
