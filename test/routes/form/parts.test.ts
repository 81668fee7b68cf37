import fc from 'fast-check'
import t from 'tap'
import { boundaryOf, FormScanner } from '../../../routes/form/scanner.ts'
import { BOUNDARY, fieldPart, filePart, form, part, postBody } from '../../support/forms/forms.ts'
import { holds, pieces } from '../../support/run/fuzz.ts'
import { isError } from '../../support/clients/raw-http.ts'
import { bytes, sha256, startService } from '../../support/service/service.ts'

const content = bytes(1_000)
const file = filePart(content)

t.test('a part that the parser would drop in silence is malformed_upload', async t => {
  const service = await startService(t)
  const line = (text: string): Buffer => Buffer.from(`--${BOUNDARY}${text}`)
  const bad: [name: string, part: Buffer][] = [
    ['a field without a disposition', part(['X: y'], 'value')],
    ['a field without a head', line('\r\n\r\nvalue\r\n')],
    ['a head that is not one', part(['no header', 'Content-Disposition: form-data; name="a"'], 'value')],
    ['an attachment', part(['Content-Disposition: attachment; name="a"; filename="b"'], 'value')],
    ['a line break in a name', part(['Content-Disposition: form-data; name="a\nb"'], 'value')],
    ['a head that does not end', line('\r\nContent-Disposition: form-data; name="a"\r\n')],
    ['white space behind the boundary', line(' \r\nContent-Disposition: form-data; name="a"\r\n\r\nvalue\r\n')],
    ['a head in the line of the boundary', line('Content-Disposition: form-data; name="a"\r\n\r\nvalue\r\n')],
  ]
  for (const [name, dropped] of bad) {
    await t.test(name, async t => {
      isError(t, await postBody(service, form(dropped, file)), 400, 'malformed_upload')
      isError(t, await postBody(service, form(file, dropped)), 400, 'malformed_upload')
    })
  }
  t.same(await service.localFiles(), [])
})

t.test('a file with the boundary in it, and more behind that, is not stored as far as there', async t => {
  const service = await startService(t)
  for (const more of ['', '2', '-', ': x', ': x\r\n\r\n']) {
    isError(t, await postBody(service, form(filePart(`begin\r\n--${BOUNDARY}${more}\r\nend`))), 400, 'malformed_upload')
  }
  const like = `begin\r\n-${BOUNDARY}\r\n--${BOUNDARY.slice(0, -1)}\r\nend`
  t.equal((await postBody(service, form(filePart(like)))).body.track.sha256, sha256(Buffer.from(like)))
})

t.test('a header that goes on in the next line is one header', async t => {
  const service = await startService(t)
  for (const folded of ['Content-Disposition:\r\n form-data; name="file"; filename="song.mp3"', 'Content-Disposition: form-data;\r\n\tname="file";\r\n  filename="song.mp3"']) {
    const { status, body } = await postBody(service, form(fieldPart('a', 'b'), part([folded], content)))
    t.match({ status, ...body.track }, { status: 201, filename: 'song.mp3', sha256: sha256(content), metadata: { a: 'b' } })
  }
})

t.test('a field without a name is invalid_request', async t => {
  const service = await startService(t)
  for (const type of ['text/plain', 'application/json']) {
    isError(t, await postBody(service, form(part(['Content-Disposition: form-data', `Content-Type: ${type}`], '1'), file)), 400, 'invalid_request')
  }
})

t.test('JSON is kept to the character', async t => {
  const service = await startService(t)
  const texts = [' {"a": 1 }\r\n', '12345678901234567890', '1.0', '1e999', '{"a":1,"a":2}', '{"__proto__":1}', `"${'x'.repeat(1_022)}"`]
  for (const json of texts) {
    const { body } = await postBody(service, form(fieldPart('json', json, 'application/json; charset=utf-8'), file))
    t.strictSame(body.track?.metadata, { json })
  }
  isError(t, await postBody(service, form(fieldPart('json', `"${'x'.repeat(1_023)}"`, 'application/json'), file)), 400, 'invalid_request')
})

t.test('what browsers escape in names is a quote or a line break again', async t => {
  const service = await startService(t)
  const { body } = await postBody(service, form(fieldPart('say %22x%22%0D%0A', 'y'), filePart(content, { filename: 'a%22b%0a%25.mp3' })))
  t.match(body.track, { filename: 'a"b%25.mp3', metadata: { 'say "x"\r\n': 'y' } })
})

t.test('the heads of a form are the same wherever its chunks end', async () => {
  const text = fc.string({ unit: fc.constantFrom('\r\n', '--', '-', 'ab', 'a', '\r\n--ab', '\r\n--ab\r\n', '\r\n--ab\r\nContent-Disposition: form-data; name=x', '\r\n\r\n', '\r\n--ab--', 'x'), maxLength: 40 })
  await holds(2_000, fc.property(text, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }), (text, sizes) => {
    const scan = (chunks: readonly Uint8Array[]): unknown => {
      const scanner = new FormScanner('ab')
      try {
        for (const chunk of chunks) scanner.push(Buffer.from(chunk))
        return scanner.heads.length
      } catch {
        return 'malformed'
      }
    }
    // Of each part as much as there is of it, up to the end of the form.
    const found = `\r\n${text}`.split('\r\n--ab--', 1)[0]!.split('\r\n--ab').slice(1)
    const whole = `\r\n${text}`.includes('\r\n--ab--') ? found.length : found.length - 1
    const isHead = (part: string): boolean => /^\r\nContent-Disposition: form-data; name=x[^\r\n]*\r\n(?:[^]*?\r\n)?\r\n/.test(part)
    const expected = found.slice(0, Math.max(whole, 0)).every(isHead)
    const result = scan(pieces(Buffer.from(text), sizes))
    return result === scan([Buffer.from(text)]) && (expected ? result !== 'malformed' || whole < found.length : result === 'malformed')
  }))
})

t.test('a boundary is what the content type says, or none', async t => {
  const of = (parameters: string): string | undefined => boundaryOf(`multipart/form-data${parameters}`)
  for (const [parameters, boundary] of [
    ['; boundary=abc', 'abc'], ['; boundary="a b"', 'a b'], [';BOUNDARY=abc ', 'abc'], ['; charset="; boundary=no"; boundary=yes', 'yes'], ['; boundary=a; boundary=b', 'a'],
    [`; boundary=${'a'.repeat(200)}`, 'a'.repeat(200)],
    ['', undefined], ['; boundary=', undefined], ['; boundary=""', undefined], ['; boundary="a\\"b"', undefined], ['; boundary="a\\\\"', undefined], ['; boundary=é', undefined],
    ['; boundary="\t"', undefined], [`; boundary=${'a'.repeat(201)}`, undefined],
  ] as const) {
    t.equal(of(parameters), boundary, parameters)
  }
})
