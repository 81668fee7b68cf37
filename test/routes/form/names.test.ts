import t from 'tap'
import { filePart, fieldPart } from '../../support/forms/forms.ts'
import { byteString, postParts, rawPart } from '../../support/forms/raw-forms.ts'
import { isError } from '../../support/clients/raw-http.ts'
import { bytes, sha256, startService } from '../../support/service/service.ts'

const content = bytes(300)

t.test('a name is read as browsers write it: a backslash is one, and a quote, CR and LF are escaped by per cent', async t => {
  const service = await startService(t)
  const cases: [disposition: string, name: string, filename: string][] = [
    ['name="dir\\"; filename="b.mp3"', 'dir\\', 'b.mp3'],
    ['name="C:\\music\\"; filename="b.mp3"', 'C:\\music\\', 'b.mp3'],
    ['name="\\"; filename="C:\\x\\song.mp3"', '\\', 'song.mp3'],
    ['filename="b.mp3"; name="dir\\"', 'dir\\', 'b.mp3'],
    ['name="a\\\\"; filename="b.mp3";', 'a\\\\', 'b.mp3'],
    ['name="a%22b%0D%0Ac"; filename="say %22hi%22.mp3"', 'a"b\r\nc', 'say "hi".mp3'],
    ['name="100%25"; filename="a%2Fb%25.mp3"', '100%25', 'a%2Fb%25.mp3'],
    ['name="a;b=c"; filename="x; filename=y.mp3"', 'a;b=c', 'x; filename=y.mp3'],
    // of clients that escape as in mail
    ['name="say \\"hi\\""; filename="the \\"best\\".mp3"', 'say "hi"', 'the "best".mp3'],
    ['name="a\\"b"; filename="c\\"; d.mp3"', 'a"b', 'c"; d.mp3'],
    ['name=plain; filename=song.mp3', 'plain', 'song.mp3'],
    ['NAME="x"; FileName="Song.MP3"', 'x', 'Song.MP3'],
  ]
  for (const [disposition, name, filename] of cases) {
    const { status, body, text } = await postParts(t, service, rawPart([`Content-Disposition: form-data; ${disposition}`], content))
    t.equal(status, 201, `${disposition}: ${text}`)
    t.match(body.track, { filename, sha256: sha256(content), metadata: {} }, disposition)
    // The same name of a text field
    const field = disposition.replace(/;? ?filename=(?:"[^"]*(?:\\"[^"]*)*"|song\.mp3);? ?/i, '')
    const { body: { track } } = await postParts(t, service, rawPart([`Content-Disposition: form-data; ${field}`], 'value'), filePart(content))
    t.strictSame(track?.metadata, { [name]: 'value' }, field)
  }
})

t.test('filename* wins beside filename, in any order, and is decoded once', async t => {
  const service = await startService(t)
  const cases: [parameters: string, filename: string][] = [
    ['name="file"; filename="=?utf-8?B?S8O8bmRpZ3VuZy5tcDM=?="; filename*=utf-8\'\'K%C3%BCndigung.mp3', 'Kündigung.mp3'],
    ['name=file; filename="=?utf-8?B?S8O8bmRpZ3VuZy5tcDM=?="; filename*=utf-8\'\'K%C3%BCndigung.mp3', 'Kündigung.mp3'],
    ['filename*=UTF-8\'de\'K%C3%BCndigung.mp3; filename="no.bin"; name=file', 'Kündigung.mp3'],
    ['name=file; filename*="utf-8\'\'K%C3%BCndigung.mp3"; filename=no', 'Kündigung.mp3'],
    ['name="file"; FILENAME*=Utf-8\'\'a%20b%3B%22c%22.mp3', 'a b;"c".mp3'],
    ['name="file"; filename="x"; filename*=UTF-8\'\'100%2525%2522.mp3', '100%25%22.mp3'],
    ['name="file"; filename="x"; filename*=iso-8859-1\'\'Bj%F6rk.mp3', 'Björk.mp3'],
    ['name="file"; filename*=UTF-8\'\'..%2Fdir%5Csong.mp3', 'song.mp3'],
    ['name="file"; filename * = UTF-8\'\'a.mp3', 'a.mp3'],
    // What can't be read says nothing.
    ['name="file"; filename="good.mp3"; filename*=UTF-8\'\'%ff.bin', 'good.mp3'],
    ['name="file"; filename*=UTF-8\'\'%zz.bin; filename="good.mp3"', 'good.mp3'],
    ['name="file"; filename="good.mp3"; filename*=nonsense\'\'x.bin', 'good.mp3'],
    ['name="file"; filename="good.mp3"; filename*=x.bin', 'good.mp3'],
    ['name="file"; filename*=x.bin', 'x.bin'],
    // An encoded word alone is a name like others.
    ['name="file"; filename="=?utf-8?Q?a?=.mp3"', '=?utf-8?Q?a?=.mp3'],
  ]
  for (const [parameters, filename] of cases) {
    const { status, body, text } = await postParts(t, service, fieldPart('a', 'b'), rawPart([`Content-Disposition: form-data; ${parameters}`], content))
    t.equal(status, 201, `${parameters}: ${text}`)
    t.match(body.track, { filename, metadata: { a: 'b' }, sha256: sha256(content) }, parameters)
    t.equal(body.track?.key.endsWith(`.${filename.split('.').at(-1)!.toLowerCase()}`), true, 'and its extension is in the key')
  }
  const { body } = await postParts(t, service, rawPart(['Content-Disposition: form-data; name="x"; name*=UTF-8\'\'n%C3%A4me'], 'v'), filePart(content))
  t.strictSame(body.track.metadata, { näme: 'v' })
})

t.test('names are UTF-8, or what _charset_ says', async t => {
  const service = await startService(t)
  const named = (name: Buffer, filename?: Buffer): Buffer => rawPart([Buffer.concat([
    Buffer.from('Content-Disposition: form-data; name="'), name, Buffer.from('"'),
    ...(filename === undefined ? [] : [Buffer.from('; filename="'), filename, Buffer.from('"')]),
  ])], 'x')
  const utf8 = await postParts(t, service, named(Buffer.from('имя')), named(Buffer.from('file'), Buffer.from('Жук 🎵.mp3')))
  t.match(utf8.body.track, { filename: 'Жук 🎵.mp3', metadata: { имя: 'x' } })
  const legacy = await postParts(t, service, fieldPart('_charset_', 'windows-1251'), named(byteString('\xe8\xec\xff')), named(Buffer.from('file'), byteString('\xc6\xf3\xea.mp3')))
  t.match(legacy.body.track, { filename: 'Жук.mp3', metadata: { _charset_: 'windows-1251', имя: 'x' } })
  for (const parts of [[named(byteString('\xe8\xec\xff')), filePart(content)], [named(Buffer.from('file'), byteString('Bj\xf6rk.mp3'))]]) {
    isError(t, await postParts(t, service, ...parts), 400, 'invalid_request')
  }
  const both = rawPart([Buffer.concat([Buffer.from('Content-Disposition: form-data; name="file"; filename="Bj'), byteString('\xf6rk.mp3"; filename*=UTF-8\'\'Bj%C3%B6rk.mp3')])], 'x')
  t.equal((await postParts(t, service, both)).body.track.filename, 'Björk.mp3')
})

t.test('a file part without a content type is what its bytes show, or octets', async t => {
  const service = await startService(t)
  const type = async (file: string | Buffer, ...headers: string[]): Promise<string> =>
    (await postParts(t, service, rawPart(['Content-Disposition: form-data; name="file"; filename="x.bin"', ...headers], file))).body.track.content_type
  t.equal(await type('some text'), 'application/octet-stream')
  t.equal(await type(bytes(100)), 'application/octet-stream')
  t.equal(await type(''), 'application/octet-stream')
  t.equal(await type('%PDF-1.7\n'), 'application/pdf')
  t.equal(await type('some text', 'Content-Type: text/plain'), 'text/plain')
  t.equal(await type('some text', 'content-type:TEXT/Markdown; charset=utf-8'), 'text/markdown')
  t.equal(await type('some text', 'Content-Type: nonsense'), 'application/octet-stream')
  t.equal(await type('some text', 'Content-Type:'), 'application/octet-stream')
})

t.test('parts come as they are: a transfer encoding that changes them is refused at once', async t => {
  const service = await startService(t)
  const file = 'Content-Disposition: form-data; name="file"; filename="song.mp3"'
  for (const coding of ['base64', 'Base64', 'quoted-printable', 'QUOTED-PRINTABLE', 'x-uuencode', 'gzip', '7bit, base64']) {
    const encoded = [`Content-Transfer-Encoding: ${coding}`, 'Content-Type: audio/mpeg']
    isError(t, await postParts(t, service, rawPart([file, ...encoded], 'aGVsbG8=')), 415, 'unsupported_media_type')
    isError(t, await postParts(t, service, rawPart([`content-transfer-encoding:${coding}`, file], bytes(200_000))), 415, 'unsupported_media_type')
    isError(t, await postParts(t, service, rawPart(['Content-Disposition: form-data; name="a"', ...encoded], 'a=3Db'), filePart(content)), 415, 'unsupported_media_type')
    isError(t, await postParts(t, service, filePart(content), rawPart(['Content-Disposition: form-data; name="a"', ...encoded], 'a=3Db')), 415, 'unsupported_media_type')
  }
  t.same(await service.localFiles(), [])
  for (const coding of ['7bit', '8bit', 'binary', 'BINARY', '8Bit', ' binary ', '']) {
    const { body } = await postParts(t, service, rawPart(['Content-Disposition: form-data; name="a"', `Content-Transfer-Encoding: ${coding}`], 'a=3Db'), rawPart([file, `content-transfer-encoding:${coding}`], content))
    t.match(body.track, { metadata: { a: 'a=3Db' }, sha256: sha256(content) }, coding)
  }
})
