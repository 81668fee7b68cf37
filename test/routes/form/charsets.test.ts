import t from 'tap'
import { fieldPart, filePart } from '../../support/forms/forms.ts'
import { byteString, postParts, rawPart } from '../../support/forms/raw-forms.ts'
import { isError } from '../../support/clients/raw-http.ts'
import { startService } from '../../support/service/service.ts'

const file = filePart('content')
const field = (type: string | undefined, value: Buffer): Buffer =>
  rawPart(['Content-Disposition: form-data; name="a"', ...(type === undefined ? [] : [`Content-Type: ${type}`])], value)

t.test('a text field is decoded by its charset, and is UTF-8 without one', async t => {
  const service = await startService(t)
  const utf8 = Buffer.from('Zoë 🎵 \ufeff\ufffd')
  const cases: [type: string | undefined, value: Buffer, text: string][] = [
    [undefined, utf8, 'Zoë 🎵 \ufeff\ufffd'],
    ['text/plain', utf8, 'Zoë 🎵 \ufeff\ufffd'],
    ['text/plain; charset=UTF-8', utf8, 'Zoë 🎵 \ufeff\ufffd'],
    ['text/plain; charset=utf8', Buffer.from('\ufeffx'), '\ufeffx'],
    ['text/plain; charset=windows-1251', byteString('\xc6\xf3\xea \xb9 5'), 'Жук № 5'],
    ['TEXT/PLAIN; Format=flowed; CharSet="Windows-1251"', byteString('\xc6\xf3\xea'), 'Жук'],
    ['text/plain;charset=koi8-r', byteString('\xf6\xd5\xcb'), 'Жук'],
    ['text/plain; charset=shift_jis', byteString('\x96\xb2'), '夢'],
    ['text/plain; charset=euc-kr', byteString('\xb2\xde'), '꿈'],
    ['text/plain; charset=gb18030', byteString('\xc3\xce'), '梦'],
    ['text/plain; charset=iso-8859-2', byteString('\xb3\xf3d\xbc'), 'łódź'],
    ['text/plain; charset=ISO-8859-1', byteString('5 \x80 \x96 \x93caf\xe9\x94'), '5 € – “café”'],
    ['text/plain; charset=windows-1252', byteString('\x8a\x9f'), 'ŠŸ'],
    ['text/plain; charset=us-ascii', byteString('plain'), 'plain'],
    ['text/plain; charset=utf-16le', Buffer.from('Жук', 'utf16le'), 'Жук'],
    ['text/plain; charset=utf-16', Buffer.from('\ufeffЖук', 'utf16le'), 'Жук'],
    ['text/plain; charset=utf-16', Buffer.from('\ufeffЖук', 'utf16le').swap16(), 'Жук'],
    ['application/json; charset=windows-1251', byteString('"\xc6\xf3\xea"'), '"Жук"'],
    ['text/html; charset=', Buffer.from('ü'), 'ü'],
    ['text/plain; charset=windows-1251', Buffer.alloc(0), ''],
  ]
  for (const [type, value, text] of cases) {
    for (const parts of [[field(type, value), file], [file, field(type, value)]]) {
      const answer = await postParts(t, service, ...parts)
      t.strictSame(answer.body.track?.metadata, { a: text }, `${type}: ${answer.text}`)
    }
  }
})

t.test('what can\'t be decoded is refused, and not replaced', async t => {
  const service = await startService(t)
  const cases: [type: string | undefined, value: Buffer][] = [
    [undefined, byteString('caf\xe9')],
    ['text/plain', byteString('\xc6\xf3\xea')],
    ['text/plain; charset=utf-8', byteString('\xed\xa0\x80')],
    ['text/plain; charset=utf-8', byteString('\xc3')],
    ['application/json', byteString('"\xff"')],
    ['text/plain; charset=shift_jis', byteString('\x81')],
    ['text/plain; charset=utf-16le', Buffer.from([0x00, 0xd8])],
    ['text/plain; charset=nonsense', Buffer.from('x')],
    ['text/plain; charset=utf-7', Buffer.from('+AC8-')],
    ['text/plain; charset="utf-8; x"', Buffer.from('x')],
    ['text/plain; charset=base64', Buffer.from('aGk=')],
    ['text/plain; charset=iso-2022-cn', Buffer.from('x')],
  ]
  for (const [type, value] of cases) {
    for (const parts of [[field(type, value), file], [file, field(type, value)]]) {
      isError(t, await postParts(t, service, ...parts), 400, 'invalid_request')
    }
  }
  t.same(await service.localFiles(), [])
})

t.test('_charset_ is the encoding of the fields behind it that name none', async t => {
  const service = await startService(t)
  const charset = (label: string): Buffer => fieldPart('_charset_', label)
  const koi8 = field(undefined, byteString('\xf6\xd5\xcb'))
  t.strictSame((await postParts(t, service, charset('koi8-r'), koi8, file)).body.track.metadata, { _charset_: 'koi8-r', a: 'Жук' })
  t.strictSame((await postParts(t, service, charset('koi8-r'), file, koi8)).body.track.metadata, { _charset_: 'koi8-r', a: 'Жук' })
  t.strictSame((await postParts(t, service, charset('koi8-r'), field('text/plain; charset=utf-8', Buffer.from('Жук')), file)).body.track.metadata.a, 'Жук')
  t.strictSame((await postParts(t, service, charset('UTF-8'), fieldPart('a', 'Жук'), file)).body.track.metadata, { _charset_: 'UTF-8', a: 'Жук' })
  isError(t, await postParts(t, service, koi8, charset('koi8-r'), file), 400, 'invalid_request')
  isError(t, await postParts(t, service, charset('nonsense'), file), 400, 'invalid_request')
})

t.test('the limits of fields are those of their text in UTF-8', async t => {
  const service = await startService(t)
  const utf16 = (text: string): Buffer => field('text/plain; charset=utf-16le', Buffer.from(text, 'utf16le'))
  t.equal((await postParts(t, service, utf16('x'.repeat(1_024)), file)).body.track?.metadata.a.length, 1_024)
  t.equal((await postParts(t, service, field('text/plain; charset=koi8-r', Buffer.alloc(512, 0xf6)), file)).status, 201)
  for (const part of [utf16('x'.repeat(1_025)), field('text/plain; charset=koi8-r', Buffer.alloc(513, 0xf6)), utf16('x'.repeat(100_000))]) {
    isError(t, await postParts(t, service, part, file), 400, 'invalid_request')
  }
})
