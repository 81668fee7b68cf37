import t from 'tap'
import { BOUNDARY, fieldPart, filePart, form, part, postBody } from '../../support/forms/forms.ts'
import { connect, isError } from '../../support/clients/raw-http.ts'
import { b2Env, bytes, sha256, startB2, startService } from '../../support/service/service.ts'

const content = bytes(1_000)
const file = filePart(content, { filename: 'song.mp3' })

t.test('text fields before and after the file are its metadata', async t => {
  const service = await startService(t)
  const { status, body } = await postBody(service, form(
    fieldPart('artist', 'Zoë 🎵'), fieldPart('empty', ''), file, fieldPart('lines', 'one\r\ntwo\r\n--three'), fieldPart('ünï', 'x')
  ))
  t.equal(status, 201)
  t.strictSame(body.track.metadata, { artist: 'Zoë 🎵', empty: '', lines: 'one\r\ntwo\r\n--three', ünï: 'x' })
  t.equal(body.track.sha256, sha256(content))
})

t.test('fields named after the file part, or after properties of objects, do no harm', async t => {
  const service = await startService(t)
  t.strictSame((await postBody(service, form(fieldPart('file', 'x'), file))).body.track.metadata, { file: 'x' })
  for (const name of ['__proto__', 'constructor', 'toString']) {
    isError(t, await postBody(service, form(fieldPart(name, 'x'), file)), 400, 'invalid_request')
    isError(t, await postBody(service, form(file, fieldPart(name, 'x'))), 400, 'invalid_request')
    isError(t, await postBody(service, form(filePart(content, { name }))), 400, 'invalid_request')
  }
  t.equal((await service.localFiles()).length, 2, 'one file and its receipt')
})

t.test('a field that is declared as JSON is kept as text', async t => {
  const service = await startService(t)
  const json = (value: string): Buffer => fieldPart('tags', value, 'application/json')
  t.strictSame((await postBody(service, form(json('{"a":[1,"b"]}'), file))).body.track.metadata, { tags: '{"a":[1,"b"]}' })
  t.strictSame((await postBody(service, form(file, json('"plain"')))).body.track.metadata, { tags: '"plain"' })
  isError(t, await postBody(service, form(json('{nonsense'), file)), 400, 'invalid_request')
  isError(t, await postBody(service, form(file, json('{nonsense'))), 400, 'invalid_request')
  t.strictSame((await postBody(service, form(fieldPart('a', 'b', 'text/plain; charset=utf-8'), file))).body.track.metadata, { a: 'b' })
})

t.test('the limits of fields are exact', async t => {
  const service = await startService(t)
  const many = (count: number, size = 1): Buffer[] => Array.from({ length: count }, (_, index) => fieldPart(`f${index}`, 'x'.repeat(size)))
  const good: Buffer[][] = [
    many(32), [fieldPart('n'.repeat(64), 'x')], [fieldPart('é'.repeat(32), 'x')], [fieldPart('v', 'x'.repeat(1_024))],
    [fieldPart('v', 'é'.repeat(512))], many(8, 1_024),
  ]
  const bad: Buffer[][] = [
    many(33), many(40), [fieldPart('n'.repeat(65), 'x')], [fieldPart('é'.repeat(32) + 'e', 'x')], [fieldPart('v', 'x'.repeat(1_025))],
    [fieldPart('v', 'é'.repeat(512) + 'e')], [fieldPart('v', 'x'.repeat(1_000_000))], [...many(8, 1_024), fieldPart('one', 'x')],
    [fieldPart('twice', 'x'), fieldPart('twice', 'y')],
  ]
  for (const fields of good) {
    t.equal((await postBody(service, form(...fields, file))).status, 201)
    t.equal((await postBody(service, form(file, ...fields))).status, 201)
  }
  const stored = await service.localFiles()
  for (const fields of bad) {
    isError(t, await postBody(service, form(...fields, file)), 400, 'invalid_request')
    isError(t, await postBody(service, form(file, ...fields)), 400, 'invalid_request')
  }
  t.same(await service.localFiles(), stored)
})

t.test('a form without a file is missing_file, however it lacks it', async t => {
  const service = await startService(t)
  const emptyInput = filePart('', { filename: '' })
  for (const body of [form(), form(fieldPart('a', 'b')), form(emptyInput), form(fieldPart('a', 'b'), emptyInput, fieldPart('c', 'd')), Buffer.alloc(0)]) {
    isError(t, await postBody(service, body), 400, 'missing_file')
  }
  t.same(await service.localFiles(), [])
  t.equal(service.log.of('upload.failed').length, 5)
  t.ok(service.log.of('upload.failed').every(line => line.level === 40 && line.error_code === 'missing_file'))
})

t.test('a file without a name, but with content, is a file', async t => {
  const service = await startService(t)
  const { status, body } = await postBody(service, form(filePart('content', { filename: '' })))
  t.equal(status, 201)
  t.match(body.track, { filename: 'file', size_bytes: 7 })
  const large = bytes(300_000)
  t.equal((await postBody(service, form(filePart(large, { filename: '' })))).body.track.sha256, sha256(large))
})

t.test('an empty file input beside the file is not a second file', async t => {
  const service = await startService(t)
  const emptyInput = filePart('', { name: 'cover', filename: '' })
  for (const body of [form(emptyInput, file), form(file, emptyInput), form(emptyInput, fieldPart('a', 'b'), file, emptyInput)]) {
    const answer = await postBody(service, body)
    t.equal(answer.status, 201)
    t.equal(answer.body.track?.sha256, sha256(content))
  }
})

t.test('a second file is too_many_files, and nothing is left of the first', async t => {
  const b2 = await startB2(t)
  for (const env of [{ ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', REPLAY_WINDOW_BYTES: '16777216' }, {}]) {
    const service = await startService(t, env)
    for (const first of [bytes(10), bytes(9_000_000), bytes(20_000_000)]) {
      const cleaned = first.byteLength > 8_388_608 && 'B2_BUCKET' in env
        ? b2.waitFor('response', record => record.operation === 'AbortMultipartUpload')
        : undefined
      isError(t, await postBody(service, form(filePart(first), filePart('second', { name: 'other' }))), 400, 'too_many_files')
      await cleaned
      t.same(b2.versions(), [])
      t.same(b2.unfinishedUploads(), [])
      t.same(await service.localFiles(), [])
    }
    isError(t, await postBody(service, form(filePart('a'), filePart(bytes(3_000_000)), filePart('c'))), 400, 'too_many_files')
    isError(t, await postBody(service, form(filePart('a'), fieldPart('x', 'y'), filePart('', { filename: 'empty.txt' }))), 400, 'too_many_files')
    t.equal((await postBody(service, form(file))).status, 201, 'and the service goes on')
    b2.reset()
  }
})

t.test('malformed forms are malformed_upload and nothing is stored', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' })
  const whole = form(fieldPart('a', 'b'), file)
  const head = part(['Content-Disposition: form-data; name="file"; filename="a"'], '')
  const bodies: [name: string, body: Buffer, type?: string][] = [
    ['no boundary in the content type', whole, 'multipart/form-data'],
    ['an empty boundary', whole, 'multipart/form-data; boundary='],
    ['another boundary', whole, 'multipart/form-data; boundary=another'],
    ['garbage', bytes(100_000)],
    ['cut in the field', whole.subarray(0, 60)],
    ['cut in the headers of the file', whole.subarray(0, whole.indexOf('filename'))],
    ['cut in the file', whole.subarray(0, whole.byteLength - 500)],
    ['without the end of the form', whole.subarray(0, whole.byteLength - BOUNDARY.length - 6)],
    ['headers of the file that do not end', Buffer.concat([head.subarray(0, -6), Buffer.alloc(200_000, 'x')])],
    ['cut in a file of several parts', form(filePart(bytes(20_000_000))).subarray(0, 18_000_000)],
  ]
  for (const [name, body, type] of bodies) {
    await t.test(name, async t => { isError(t, await postBody(service, body, type), 400, 'malformed_upload') })
  }
  await t.test('a form that is cut after its file, which is as long as it was announced', async t => {
    const client = await connect(t, service)
    const cut = whole.subarray(0, -4)
    await client.send(`POST /uploads HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=${BOUNDARY}\r\ncontent-length: ${cut.byteLength}\r\n\r\n`)
    await client.send(cut)
    isError(t, await client.answer(), 400, 'malformed_upload')
  })
  t.equal((await postBody(service, whole)).status, 201, 'and the service goes on')
  t.equal(b2.versions().length, 1)
  t.same(await service.localFiles(), [])
})
