import assert from 'node:assert/strict'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { create as contentDisposition } from 'content-disposition'
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import { companionKey, objectMetadata } from '../../services/b2/object-receipt.ts'
import { baseName, isKey, newKey, uuidv7 } from '../../services/keys.ts'
import { contentPath, download } from '../support/clients/download.ts'
import { answersIn, assertErrorShape, exchange, holds } from '../support/run/fuzz.ts'
import { setPromotionStage } from '../support/promotion/promotion.ts'
import type { PromotionStage } from '../support/promotion/promotion.ts'
import type { RawAnswer } from '../support/clients/raw-http.ts'
import { nameOf, receiptOf, remove } from '../support/service/stored-files.ts'

const CONTENT = Buffer.from('content')

/** What the contract makes of a client's name: its base name, Unicode kept, in at most 255 characters with the extension. */
function modelOfName (name: string): string {
  const base = name.slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1)
  const clean = base.toWellFormed().replaceAll(/[\p{Cc}\p{Bidi_Control}]/gu, '').trim()
  if (['', '.', '..'].includes(clean)) return 'file'
  const characters = [...clean]
  const extension = /\.[a-zA-Z0-9]{1,8}$/.exec(clean)?.[0] ?? ''
  return characters.length <= 255 ? clean : `${characters.slice(0, 255 - extension.length).join('')}${extension}`
}

function assertKey (key: string, filename: string): void {
  const [, id, extension] = /^tracks\/([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})(?:\.([a-z0-9]{1,8}))?$/.exec(key) ?? []
  assert(id !== undefined, key)
  assert.equal(extension, /\.([a-z0-9]{1,8})$/.exec(filename.toLowerCase())?.[1])
}

function assertMetadata (metadata: Record<string, string>): void {
  let bytes = 0
  for (const [name, value] of Object.entries(metadata)) {
    assert.match(value, /^[!-~]*$/, 'printable US-ASCII')
    bytes += `x-amz-meta-${name}${value}`.length
  }
  assert(bytes <= 2_048, `${bytes} bytes`)
}

/** The file name in a Content-Disposition, read by RFC 6266 §4.3: the extended one counts. */
function namedBy (header: string): string {
  const [, quoted, token, extended] = /^attachment; filename=(?:"((?:[\x20!#-[\]-~]|\\["\\])*)"|([!#$%&'*+.^_`|~0-9A-Za-z-]+))(?:; filename\*=UTF-8''([%!#$&+.^_`|~0-9A-Za-z-]+))?$/.exec(header) ?? []
  assert((quoted ?? token) !== undefined, header)
  return extended === undefined ? token ?? quoted!.replaceAll(/\\(.)/g, '$1') : decodeURIComponent(extended)
}

const SPECIAL = ['/', '\\', '"', '"', '"', '%', '%41', '%00', '.', '..', '../', ';', '\r', '\n', '\0', '\x7f', '\x85', '\u200e', '\u202e', '\u061c', '\u2028', '\ufeff', ' ', '\'', '*', '=', '+', '#', '?', 'é', '夢', '🎵', '.mp3', '.MP3', '.tar.gz', '.\u212A']
const names = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }),
  fc.array(fc.oneof(fc.constantFrom(...SPECIAL), fc.string({ unit: 'grapheme', maxLength: 5 })), { minLength: 1, maxLength: 12 }).map(parts => parts.join('')),
  fc.tuple(fc.constantFrom('a', 'é', '夢', '🎵', '.', '%'), fc.integer({ min: 240, max: 300 }), fc.constantFrom('', '.mp3', '.toolongone')).map(([character, count, end]) => character.repeat(count) + end)
).filter(name => name !== '')

interface Way {
  /** What can't be said this way is said differently. */
  readonly fit?: (name: string) => string
  request (name: string): Promise<Buffer> | Buffer
}

function put (target: string): Buffer {
  return Buffer.from(`PUT /uploads/${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${CONTENT.byteLength}\r\n\r\n${CONTENT}`, 'latin1')
}

function post (body: Buffer, contentType: string): Buffer {
  const head = `POST /uploads HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: ${contentType}\r\ncontent-length: ${body.byteLength}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), body])
}

function postWith (parameter: string): Buffer {
  return post(Buffer.from(`--b\r\nContent-Disposition: form-data; name="file"; ${parameter}\r\n\r\n${CONTENT}\r\n--b--`), 'multipart/form-data; boundary=b')
}

const WAYS: Record<string, Way> = {
  url: { request: name => put(encodeURIComponent(name)) },
  fetch: {
    // An escape that is none means something else to a parser than to who wrote it.
    fit: name => name.replaceAll(/%(?=22|0[AD])/gi, '_'),
    async request (name) {
      const form = new FormData()
      form.append('file', new Blob([CONTENT]), name)
      const made = new Response(form)
      return post(Buffer.from(await made.arrayBuffer()), made.headers.get('content-type')!)
    },
  },
  quotedPairs: {
    // A quote with a semicolon behind it is the end of a name, if it looks as if a parameter followed.
    fit: name => name.replaceAll(/[\r\n]/g, '_').replaceAll(/%(?=22|0[AD])|"(?=[ \t]*;)/gi, '_'),
    request: name => postWith(`filename="${name.replaceAll(/["\\]/g, '\\$&')}"`),
  },
  extended: {
    fit: name => name.replaceAll(/[\r\n]/g, '_'),
    request: name => postWith(`filename*=UTF-8''${encodeURIComponent(name).replaceAll(/['()*]/g, found => `%${found.charCodeAt(0).toString(16)}`)}`),
  },
}

async function ask ({ service }: PromotionStage, request: Buffer): Promise<RawAnswer> {
  const answers = answersIn(await exchange(service, [request]))
  assert.equal(answers.length, 1)
  return answers[0]!
}

async function isKept ({ b2, service }: PromotionStage, { track, storage }: any, where: string): Promise<void> {
  assert.equal(storage, where)
  assertKey(track.key, track.filename)
  if (where === 'b2') {
    const keys = b2.versions().map(({ key }) => key)
    assert.deepEqual(keys.filter(key => key !== companionKey(track.key)), [track.key])
    for (const { metadata } of b2.versions()) assertMetadata(metadata)
    assert.deepEqual(await service.localFiles(), [])
  } else {
    const files = await service.localFiles()
    assert(files.includes(track.key))
    assert(files.length === 2 && files.every(file => /^tracks\/[\w.-]+$/.test(file) && Buffer.byteLength(file) < 100), files.join())
    assert.deepEqual(b2.versions(), [])
  }
}

async function setStage (t: Test): Promise<{ stage: PromotionStage, around: string }> {
  const around = t.testdir()
  await mkdir(join(around, 'files'))
  return { stage: await setPromotionStage(t, { LOCAL_STORAGE_DIR: join(around, 'files') }), around }
}

t.test('any name comes back as it came, without folders and what is not printed, and gets into no path', async t => {
  const { stage, around } = await setStage(t)
  const { b2, service } = stage
  await holds(100, fc.asyncProperty(names, fc.constantFrom(...Object.keys(WAYS)), fc.constantFrom('b2', 'local'), async (name, way, where) => {
    const { fit, request } = WAYS[way]!
    const sent = fit?.(name) ?? name
    b2.reset()
    for (const left of await service.localFiles()) await remove(service, nameOf(left))
    if (where === 'local') b2.fault({ operation: 'PutObject', status: 503, times: Infinity })
    const answer = await ask(stage, await request(sent))
    assert.equal(answer.status, 201, answer.text)
    const { track } = answer.body
    assert.equal(track.filename, modelOfName(sent))
    await isKept(stage, answer.body, where)
    assert.deepEqual((await receiptOf(service, nameOf(track.key))).body, answer.body)
    const { headers } = await download(service, contentPath(track.key), { method: 'HEAD' })
    assert.equal(namedBy(headers['content-disposition']!), track.filename)
    assert.equal((await remove(service, nameOf(track.key))).status, 204)
    assert.deepEqual([await service.localFiles(), b2.versions(), await readdir(around)], [[], [], ['files']])
  }))
})

t.test('whatever follows /uploads/ is a name, or is refused', async t => {
  const { stage } = await setStage(t)
  const character = fc.oneof(fc.constantFrom(...'%/.?#;\\:@', '%2f', '%5c', '%00', '%c3%a9', '%ff', '%', '%4', '..', '//'), fc.integer({ min: 1, max: 255 }).map(code => String.fromCharCode(code)))
  await holds(150, fc.asyncProperty(fc.string({ unit: character, maxLength: 12 }), async target => {
    stage.b2.reset()
    const [first, ...others] = answersIn(await exchange(stage.service, [put(target)]))
    assert(first !== undefined && others.length === 0)
    if (first.status === 201) {
      assert.equal(first.body.track.filename, modelOfName(decodeURIComponent(target.split(/[?#]/, 1)[0]!)))
      return await isKept(stage, first.body, 'b2')
    }
    assert.deepEqual(stage.b2.versions(), [])
    assertErrorShape(first)
    assert([400, 404].includes(first.status), first.text)
    assert(!/^[\w.%~-]+$/.test(target) || !isDecodable(target), 'a good name is not refused')
  }))
})

function isDecodable (text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

t.test('what is made of a name fits keys, metadata and headers, lone surrogates included', async () => {
  const units = fc.array(fc.oneof(fc.nat({ max: 0xffff }), fc.integer({ min: 0xd800, max: 0xdfff }), fc.nat({ max: 0x7f })), { maxLength: 40 }).map(codes => String.fromCharCode(...codes))
  const metadata = fc.dictionary(fc.string({ unit: 'binary', maxLength: 10 }), fc.string({ unit: 'binary', maxLength: 300 }), { maxKeys: 4 })
  await holds(1_000, fc.property(fc.oneof(units, names), metadata, (name, metadata) => {
    const filename = baseName(name)
    assert.equal(filename, modelOfName(name))
    const id = uuidv7()
    const key = newKey('tracks/', id, filename)
    assert(isKey('tracks/', key))
    assertKey(key, filename)
    assert.equal(namedBy(contentDisposition(filename)), filename)
    assertMetadata(objectMetadata({ filename }))
    assertMetadata(objectMetadata({ id, key, filename, content_type: 'a/b', size_bytes: 1, sha256: 'f'.repeat(64), uploaded_at: new Date().toISOString(), metadata, audio: null }))
  }))
})
