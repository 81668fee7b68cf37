import t from 'tap'
import { flac, m4a, mp3, ogg, wav } from '../../../scripts/samples/audio.ts'
import { contentTypeOf, declaredContentType, isAllowedType } from '../../../services/intake/content-type.ts'

async function sniff (head: Uint8Array): Promise<string | undefined> {
  const { type, isSniffed } = await contentTypeOf(head, {})
  return isSniffed ? type : undefined
}

t.test('recognises the common audio formats by their first bytes, under one name each', async t => {
  t.equal(await sniff(wav()), 'audio/wav')
  t.equal(await sniff(mp3({ title: 'Tagged' })), 'audio/mpeg')
  t.equal(await sniff(flac()), 'audio/flac')
  t.equal(await sniff(m4a()), 'audio/mp4')
  t.equal(await sniff(ogg()), 'audio/ogg', 'without the codecs parameter')
  t.equal(await sniff(mp3({ coverBytes: 200_000 }).subarray(0, 65_536)), 'audio/mpeg', 'also when a cover fills all of the bytes')
})

t.test('recognises other files too', async t => {
  t.equal(await sniff(Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')), 'image/png')
  t.equal(await sniff(Buffer.from('%PDF-1.7\n')), 'application/pdf')
  for (const rest of ['', '00'.repeat(32), 'ff'.repeat(32)]) {
    t.equal(await sniff(Buffer.from(`89504e470d0a1a0a${rest}`, 'hex')), 'image/png', 'by its signature alone, whatever follows')
  }
  t.equal(await sniff(Buffer.from('89504e470d0a1a', 'hex')), undefined)
})

t.test('says nothing about bytes without a signature', async t => {
  t.equal(await sniff(new Uint8Array()), undefined, 'an empty file')
  t.equal(await sniff(Buffer.from('just some text\n')), undefined, 'text')
  t.equal(await sniff(Buffer.alloc(65_536, 0x5a)), undefined, 'garbage')
})

t.test('never rejects, wherever a file is cut off', async t => {
  for (const file of [wav(), mp3({ title: 'a' }), flac(), m4a(), ogg(), Buffer.from('504b0304140000000800', 'hex'), Buffer.from('1f8b0800000000000003', 'hex')]) {
    for (let length = 0; length < Math.min(64, file.length); length++) await sniff(file.subarray(0, length))
  }
  t.pass('all were answered')
})

t.test('takes the media type of a Content-Type header, in lower case and without parameters', async t => {
  t.equal(declaredContentType('audio/mpeg'), 'audio/mpeg')
  t.equal(declaredContentType('Audio/MPEG; rate=44100'), 'audio/mpeg')
  t.equal(declaredContentType(' text/plain ;charset="a;b"'), 'text/plain')
  t.equal(declaredContentType('application/vnd.api+json'), 'application/vnd.api+json')
  t.equal(declaredContentType('audio/x-m4a'), 'audio/x-m4a', 'in the words of the client')
})

t.test('takes nothing from a Content-Type header that is none', async t => {
  for (const header of [undefined, '', 'audio', 'audio/', '/mpeg', 'audio/mpeg/2', 'audio /mpeg', 'audio/mp eg', 'audio/*', '*/*', 'a/b, c/d', 'audio/mp\u00e9g', 'audio/mpeg\nx', `audio/${'x'.repeat(128)}`]) {
    t.equal(declaredContentType(header), undefined, JSON.stringify(header))
  }
})

t.test('allows types by name and by wildcard', async t => {
  t.ok(isAllowedType('application/pdf', []), 'an empty list allows all')
  t.ok(isAllowedType('audio/flac', ['audio/*']))
  t.ok(isAllowedType('audio/flac', ['image/png', ' Audio/FLAC ']), 'in any case')
  t.ok(isAllowedType('image/png', ['*/*']))
  t.notOk(isAllowedType('video/mp4', ['audio/*', 'image/png']))
  t.notOk(isAllowedType('audiobook/x', ['audio/*']))
  t.notOk(isAllowedType('audio/mpeg', ['audio/mp']))
})

t.test('allows a format under each of its names', async t => {
  for (const [name, ...others] of [
    ['audio/mpeg', 'audio/mp3', 'audio/x-mp3', 'audio/x-mpeg'],
    ['audio/wav', 'audio/x-wav', 'audio/wave', 'audio/vnd.wave'],
    ['audio/mp4', 'audio/m4a', 'audio/x-m4a'],
    ['audio/flac', 'audio/x-flac'],
    ['audio/aac', 'audio/x-aac'],
    ['audio/aiff', 'audio/x-aiff'],
    ['video/mp4', 'video/x-m4v'],
  ] as const) {
    for (const other of others) {
      t.ok(isAllowedType(name, [other]), `${name} where ${other} is allowed`)
      t.ok(isAllowedType(other, [name]), `${other} where ${name} is allowed`)
    }
  }
})
