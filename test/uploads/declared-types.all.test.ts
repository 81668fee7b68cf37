import { Readable } from 'node:stream'
import t from 'tap'
import { mp3, wav } from '../../scripts/samples/audio.ts'
import { webm } from '../../scripts/samples/webm.ts'
import { filePart } from '../support/forms/forms.ts'
import { postParts } from '../support/forms/raw-forms.ts'
import { put, sha256, startService } from '../support/service/service.ts'
import type { TestService } from '../support/service/service.ts'

const utf16 = (text: string): Buffer => Buffer.from(`\ufeff${text}`, 'utf16le')

async function typeOf (service: TestService, content: Buffer, declared?: string): Promise<string> {
  const { body } = await put(service, content, 'a.bin', declared === undefined ? {} : { 'content-type': declared })
  return body.track.content_type
}

t.test('a text that is declared as one is one, though it begins like another file', async t => {
  const service = await startService(t)
  const texts: [text: string, declared: string][] = [
    ['BMI,weight,height\n21.5,70,180\n', 'text/csv'],
    ['BM', 'text/plain'],
    ['ID3 tags are explained below.\n', 'text/plain'],
    [`ID3,name\n${'1,x\n'.repeat(40_000)}`, 'text/csv'],
    ['MZ is what a program for DOS begins with.', 'text/markdown'],
    ['GIFT,price\r\nbook,5\r\n', 'text/csv; charset=utf-8'],
    ['BZh and others', 'text/plain'],
    ['FWS,CWS\n', 'application/csv'],
    ['MP+1,2\n', 'text/csv'],
    ['MAC address,name\n', 'text/csv'],
    ['FORMULA,result\n', 'text/csv'],
    ['PARENT,CHILD\n', 'text/csv'],
    ['SQLite is a database.\n', 'text/markdown'],
    ['solid advice\n', 'text/plain'],
    ['The wide river, and Öland 🎵\n', 'text/plain'],
    ['Set free\n', 'text/html'],
    ['%! TEX root = main.tex\n', 'text/x-tex'],
    ['MZ: 1\n', 'application/yaml'],
    ['BM = 1\n', 'application/toml'],
    ['BM()\n', 'application/javascript'],
    ['#!AMR\necho hello\n', 'application/x-sh'],
    ['BM+json', 'application/ld+json'],
    ['070707,7\n', 'text/csv'],
    [`G${'x'.repeat(187)}G${'x'.repeat(100)}`, 'text/plain'],
    [`a${'é'.repeat(40_000)}`.replace('a', 'BM'), 'text/plain'],
  ]
  for (const [text, declared] of texts) {
    const essence = declared.split(';', 1)[0]!
    t.equal(await typeOf(service, Buffer.from(text), declared), essence, `${declared}: ${text.slice(0, 30)}`)
    t.equal(await typeOf(service, Buffer.from(`\ufeff${text}`), declared), essence, 'with a byte order mark')
    t.equal(await typeOf(service, utf16(text), declared), essence, 'in UTF-16')
    t.equal(await typeOf(service, utf16(text).swap16(), declared), essence, 'in UTF-16, the other way round')
    const { body } = await postParts(t, service, filePart(text, { filename: 'a.csv', type: declared }))
    t.match(body.track, { content_type: essence, sha256: sha256(Buffer.from(text)), audio: null }, 'in a form')
  }
  t.equal(await typeOf(service, Buffer.from(`\xff\xe2\xeb ${'\xe8\xf1 '.repeat(50)}`, 'latin1'), 'text/plain'), 'text/plain', 'in windows-1251')
})

t.test('XML says nothing of what is written in it', async t => {
  const service = await startService(t)
  const xml = Buffer.from('<?xml version="1.0"?>\n<gpx/>')
  for (const declared of ['image/svg+xml', 'application/gpx+xml', 'application/rss+xml', 'application/vnd.google-earth.kml+xml', 'text/xml', 'application/xhtml+xml']) {
    t.equal(await typeOf(service, xml, declared), declared)
    t.equal(await typeOf(service, utf16(xml.toString()), declared), declared)
  }
  for (const declared of [undefined, 'application/xml', 'text/plain', 'application/octet-stream', 'image/png', 'application/json']) t.equal(await typeOf(service, xml, declared), 'application/xml', declared ?? 'nothing')
})

t.test('a container says nothing of what is packed in it', async t => {
  const service = await startService(t)
  const zip = Buffer.from('504b030414000000000000000000000000000000000000000000010000006161', 'hex')
  const cfb = Buffer.concat([Buffer.from('d0cf11e0a1b11ae1', 'hex'), Buffer.alloc(600)])
  for (const [content, generic, exact] of [
    [zip, 'application/zip', ['application/epub+zip', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document', 'application/vnd.oasis.opendocument.text', 'application/java-archive']],
    [cfb, 'application/x-cfb', ['application/msword', 'application/vnd.ms-excel', 'application/vnd.ms-outlook']],
  ] as const) {
    for (const declared of exact) t.equal(await typeOf(service, content, declared), declared)
    for (const declared of [undefined, 'text/plain', 'image/png', 'audio/mpeg', 'application/pdf']) t.equal(await typeOf(service, content, declared), generic, declared ?? 'nothing')
  }
})

t.test('what is no text is what its bytes show, whatever is declared', async t => {
  const service = await startService(t)
  const bitmap = Buffer.concat([Buffer.from('BM'), Buffer.alloc(100)])
  const cases: [content: Buffer, type: string][] = [
    [mp3({ title: 'Tagged' }), 'audio/mpeg'],
    [mp3().subarray(10), 'audio/mpeg'],
    [wav(), 'audio/wav'],
    [bitmap, 'image/bmp'],
    [Buffer.from('MZ\x90\0\x03\0\0\0', 'latin1'), 'application/x-msdownload'],
    [Buffer.from('GIF89a\x01\0\x01\0\x80\0\0', 'latin1'), 'image/gif'],
    [Buffer.from('%PDF-1.7\n'), 'application/pdf'],
    [Buffer.from('{\\rtf1 text}'), 'application/rtf'],
    [Buffer.from('%!PS-Adobe-3.0\n'), 'application/postscript'],
    [Buffer.from('WEBVTT\n\n'), 'text/vtt'],
  ]
  for (const [content, type] of cases) {
    for (const declared of [undefined, 'text/plain', 'text/csv', 'application/json', 'application/octet-stream']) t.equal(await typeOf(service, content, declared), type, `${type} as ${declared}`)
  }
  t.equal(await typeOf(service, bitmap, 'application/gpx+xml'), 'image/bmp')
  t.equal(await typeOf(service, Buffer.from('BMI,weight\n')), 'image/bmp', 'nor is a guess made for what is not declared')
})

t.test('UPLOAD_ALLOWED_TYPES asks for what a file turned out to be', async t => {
  const service = await startService(t, { UPLOAD_ALLOWED_TYPES: 'text/*,image/svg+xml' })
  t.equal((await put(service, Buffer.from('BMI,weight\n'), 'a.csv', { 'content-type': 'text/csv' })).status, 201)
  t.equal((await put(service, Buffer.from('<?xml version="1.0"?><svg/>'), 'a.svg', { 'content-type': 'image/svg+xml' })).status, 201)
  t.equal((await put(service, mp3(), 'a.csv', { 'content-type': 'text/csv' })).status, 415)
  t.equal((await put(service, Buffer.from('<?xml version="1.0"?><svg/>'), 'a.svg')).status, 415)
})

t.test('store() finds types as the routes do', async t => {
  const { app } = await startService(t)
  const type = async (content: Buffer, info: object): Promise<string> => (await app.uploads.store(Readable.from([content]), info)).track.content_type
  t.equal(await type(Buffer.from('BMI,weight\n'), { contentType: 'text/csv' }), 'text/csv')
  t.equal(await type(webm(), { contentType: 'audio/webm; codecs=opus', filename: 'a.webm' }), 'audio/webm')
  t.equal(await type(webm(), { filename: 'a.webm' }), 'video/webm')
})
