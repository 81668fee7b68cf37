import t from 'tap'
import { begin, bodyOf, send } from '../support/clients/leaving-client.ts'
import { bytes, startService } from '../support/service/service.ts'
import { MIB, isStoredAfter } from '../support/clients/leaves-late.ts'

isStoredAfter(['destroy', 'end'])

t.test('a client that leaves after its last byte has its file stored in local-only mode, too', async t => {
  const service = await startService(t)
  for (const method of ['PUT', 'POST'] as const) {
    const content = bytes(3 * MIB)
    const body = bodyOf(method, content)
    const socket = await begin(service, method, body)
    await send(socket, body)
    socket.end()
    const line = await service.log.until(({ event }) => event?.startsWith('upload.') === true)
    t.equal(line.event, 'upload.stored')
    t.equal(line.size_bytes, content.byteLength)
    service.log.lines.length = 0
  }
})
