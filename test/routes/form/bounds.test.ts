import t from 'tap'
import type { Test } from 'tap'
import { BOUNDARY, fieldPart, filePart, form } from '../../support/forms/forms.ts'
import { pieces } from '../../support/run/fuzz.ts'
import { chunked, formHead, LAST_CHUNK, postForm } from '../../support/forms/raw-forms.ts'
import { connect, isError } from '../../support/clients/raw-http.ts'
import type { RawAnswer, RawClient } from '../../support/clients/raw-http.ts'
import { b2Env, bytes, inB2, startB2, startService } from '../../support/service/service.ts'
import type { TestService } from '../../support/service/service.ts'

const MIB = 1_048_576
const SMALL = { UPLOAD_MAX_BYTES: '1000' }
/** Of a form, as many bytes as are accepted where it announces its length: the largest file and a MiB. */
const LARGEST = 1_000 + MIB

/** Sends a chunked form whose filling is repeated until there is an answer, or `most` bytes were sent. */
async function pour (client: RawClient, before: Uint8Array, filling: Uint8Array, after: Uint8Array, most: number): Promise<RawAnswer | undefined> {
  const answered = client.answer()
  const isAnswered = { yes: false }
  answered.then(() => { isAnswered.yes = true }, () => {})
  await client.send(Buffer.concat([formHead('transfer-encoding: chunked'), ...(before.byteLength > 0 ? [chunked(before)] : [])]))
  for (let sent = 0; sent < most && !isAnswered.yes; sent += filling.byteLength) await client.send(chunked(filling))
  if (!isAnswered.yes) await client.send(Buffer.concat([chunked(after), LAST_CHUNK]))
  return await answered
}

const lines = Buffer.from('a line of the preamble\r\n'.repeat(2_800))
const headLine = Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n`)

async function isTooLarge (t: Test, service: TestService, before: Uint8Array, filling: Uint8Array, after: Uint8Array): Promise<void> {
  const client = await connect(t, service)
  const answer = await pour(client, before, filling, after, 30 * MIB)
  isError(t, answer, 413, 'file_too_large')
  t.equal(answer?.headers.get('connection'), 'close')
  t.same(await service.localFiles(), [])
}

t.test('a chunked form is bounded as one that announces its length, whatever its bytes are', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...SMALL })
  const file = filePart('12345')
  await isTooLarge(t, service, Buffer.alloc(0), lines, Buffer.concat([Buffer.from('\r\n'), form(file)]))
  await isTooLarge(t, service, form(file), lines, Buffer.from('\r\n'))
  await isTooLarge(t, service, form(file), Buffer.alloc(65_536), Buffer.from('\r\n'))
  await isTooLarge(t, service, Buffer.alloc(0), Buffer.alloc(65_536, '\r\n--'), form(file))
  t.same(inB2(b2), { files: [], receipts: [] })

  // Exactly: with one byte less than too many it is stored.
  for (const [over, where] of [[0, 'before'], [1, 'before'], [0, 'behind'], [1, 'behind']] as const) {
    const whole = form(file)
    const around = Buffer.alloc(LARGEST - whole.byteLength + over - 2, 'x')
    const body = Buffer.concat(where === 'before' ? [around, Buffer.from('\r\n'), whole] : [whole, Buffer.from('\r\n'), around])
    t.equal(body.byteLength, LARGEST + over)
    const client = await connect(t, service)
    await client.send(Buffer.concat([formHead('transfer-encoding: chunked'), ...pieces(body, [100_000]).map(chunked), LAST_CHUNK]))
    const answer = await client.answer()
    if (over === 0) t.match({ status: answer?.status, size: answer?.body.track?.size_bytes }, { status: 201, size: 5 }, where)
    else isError(t, answer, 413, 'file_too_large')
    if (over === 1) isError(t, await postForm(t, service, body), 413, 'file_too_large')
    else t.equal((await postForm(t, service, body)).status, 201, 'the same with its length')
  }
  t.equal(inB2(b2).files.length, 4)
})

t.test('a form that is stored has come whole, up to the end of its epilogue', async t => {
  const service = await startService(t)
  const client = await connect(t, service)
  await client.send(Buffer.concat([formHead('transfer-encoding: chunked'), chunked(form(filePart('12345')))]))
  await client.send(chunked(Buffer.from('\r\nan epilogue')))
  client.socket.destroy()
  await service.log.until(({ event }) => event === 'upload.aborted')
  t.same(await service.localFiles(), [])

  const next = await connect(t, service)
  const body = Buffer.concat([form(filePart('12345')), Buffer.from('and an epilogue')])
  const request = Buffer.concat([formHead('transfer-encoding: chunked'), ...pieces(body, [7]).map(chunked), LAST_CHUNK])
  for (let count = 0; count < 2; count++) {
    await next.send(request)
    t.equal((await next.answer())?.status, 201, 'and the connection goes on')
  }
})

const UNREADABLE: [name: string, head: string][] = [
  ['a disposition with another name', 'C/ntent-Disposition: form-data; name="b"\r\n\r\n'],
  ['no disposition', 'Content-Type: text/plain\r\n\r\n'],
  ['an empty head', '\r\n'],
  ['no head, but content', ''],
  ['another disposition', 'Content-Disposition: attachment; name="b"; filename="c"\r\n\r\n'],
  ['a disposition without a colon', 'Content-Disposition form-data; name="b"\r\n\r\n'],
  ['a line break in an encoded name', 'Content-Disposition: form-data; name="b"; filename*=UTF-8\'\'c%0D%0Ad\r\n\r\n'],
  ['such a name for those who read quotes as in mail', 'Content-Disposition: form-data; name="\\"; x="; filename*=UTF-8\'\'c%0Ad; y="\r\n\r\n'],
]

t.test('a part without a readable head is malformed_upload at once, however large it is and however it is cut', async t => {
  // Nothing but the head itself can end the upload within the time of this test.
  const service = await startService(t, { UPLOAD_IDLE_TIMEOUT_MS: '600000' })
  for (const [name, head] of UNREADABLE) {
    await t.test(name, async t => {
      for (const size of [0, 100, 40_000, 400_000]) {
        // Whether all of the request has come, or its client has more to send.
        for (const isOpen of size < 40_000 && head === '' ? [false] : [false, true]) {
          const bad = Buffer.concat([Buffer.from(`--${BOUNDARY}\r\n${head}`), Buffer.alloc(size, 'x'), Buffer.from('\r\n')])
          for (const body of [Buffer.concat([fieldPart('a', 'b'), bad]), Buffer.concat([filePart(bytes(100)), bad])]) {
            const whole = isOpen ? body : form(body, filePart('another'))
            const client = await connect(t, service)
            const sizes = size === 100 ? [1] : size === 40_000 ? [3_001, 17] : [65_536]
            await client.send(formHead(`content-length: ${whole.byteLength + (isOpen ? 10_000_000 : 0)}`))
            for (const piece of pieces(whole, sizes)) await client.send(piece)
            isError(t, await client.answer(), 400, 'malformed_upload')
          }
        }
      }
    })
  }
  t.same(await service.localFiles(), [])
})

t.test('the head of a part may be 16 KiB', async t => {
  const service = await startService(t)
  const part = (bytes: number): Buffer => {
    const head = `Content-Disposition: form-data; name="file"; filename="a.mp3"\r\n${'x: y\r\n'.repeat(1_000)}`
    return Buffer.from(`--${BOUNDARY}\r\n${head}x: ${'y'.repeat(bytes - head.length - 7)}\r\n\r\ncontent\r\n`)
  }
  t.match((await postForm(t, service, form(part(16_384)))).body.track, { filename: 'a.mp3', size_bytes: 7 })
  isError(t, await postForm(t, service, form(part(16_400))), 400, 'malformed_upload')
  const client = await connect(t, service)
  await client.send(Buffer.concat([formHead('content-length: 10000000'), headLine.subarray(0, -4), Buffer.alloc(17_000, 'x')]))
  isError(t, await client.answer(), 400, 'malformed_upload')
})

t.test('an error in a form reaches a client that is sending the file', async t => {
  const service = await startService(t)
  const client = await connect(t, service)
  await client.send(Buffer.concat([formHead('content-length: 100000000'), headLine, bytes(3_000_000), Buffer.from(`\r\n--${BOUNDARY}\r\nX: y\r\n\r\n`), bytes(100)]))
  const answer = await client.answer()
  isError(t, answer, 400, 'malformed_upload')
  t.equal(answer?.headers.get('connection'), 'close')
  t.same(await service.localFiles(), [])
})
