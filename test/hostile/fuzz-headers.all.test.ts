import assert from 'node:assert/strict'
import { MIMEType } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { digestOf } from '../support/clients/digests.ts'
import { form, BOUNDARY, filePart } from '../support/forms/forms.ts'
import { answersIn, assertErrorShape, exchange, holds } from '../support/run/fuzz.ts'
import { CALM } from '../support/promotion/promotion.ts'
import type { RawAnswer } from '../support/clients/raw-http.ts'
import { b2Env, put, sha256, startB2, startService } from '../support/service/service.ts'

const CONTENT = Buffer.from('content without a type')
const FORM = form(filePart(CONTENT))
const MAX_BYTES = 200
const WRONG_DIGEST = digestOf(FORM)

/** All that an answer may have; anything else came from the request. */
const ANSWER_HEADERS = [
  'accept-encoding', 'accept-ranges', 'allow', 'cache-control', 'connection', 'content-disposition', 'content-length', 'content-range', 'content-security-policy', 'content-type',
  'cross-origin-opener-policy', 'cross-origin-resource-policy', 'date', 'etag', 'keep-alive', 'last-modified', 'location', 'origin-agent-cluster',
  'referrer-policy', 'repr-digest', 'retry-after', 'vary', 'www-authenticate', 'x-content-type-options', 'x-correlation-id', 'x-dns-prefetch-control', 'x-download-options',
  'x-frame-options', 'x-permitted-cross-domain-policies', 'x-xss-protection',
]

type Field = readonly [name: string, value: string]

const octets = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map(code => String.fromCharCode(code)), maxLength: 30 })
const visible = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).filter(code => code !== 0x7f).map(code => String.fromCharCode(code)), maxLength: 60 })
const hex = (length: number): fc.Arbitrary<string> => fc.string({ unit: fc.constantFrom(...'0123456789abcdefABF'), minLength: length, maxLength: length })
const ids = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'aZ09._:-'), maxLength: 20 }),
  fc.constantFrom(128, 129).map(length => 'x'.repeat(length)),
  fc.constantFrom(...' "\\{,/\xe9').map(character => `a${character}b`)
)
const types = fc.oneof(
  visible,
  fc.tuple(fc.constantFrom('text', 'Audio', '*', 'a'.repeat(128), 'ä', ''), fc.constantFrom('/', '', ' / '), fc.constantFrom('Plain', 'x-a+b', '*', ''), fc.constantFrom('', '; charset=utf-8', ';', ' ;x="', ';;'))
    .map(parts => parts.join(''))
)
const FIELDS: Record<string, fc.Arbitrary<string>> = {
  'content-type': types,
  'x-correlation-id': ids,
  'x-request-id': ids,
  traceparent: fc.tuple(hex(2), hex(32), hex(16), hex(2)).map(parts => parts.join('-')),
  authorization: visible,
  host: visible,
  expect: fc.oneof(fc.constantFrom('100-continue', '100-Continue'), visible),
  connection: fc.constantFrom('keep-alive', 'upgrade', 'x-correlation-id', 'close, keep-alive'),
  upgrade: fc.constantFrom('websocket', 'h2c'),
  'content-range': fc.constantFrom('bytes 0-3/9', 'bytes 5-9/*', ''),
  range: fc.constantFrom('bytes=0-3', 'bytes=9-', 'bytes=999-', 'x'),
  'if-match': visible,
  'if-none-match': visible,
  'if-range': visible,
  'if-modified-since': visible,
  origin: visible,
  'access-control-request-method': visible,
  'accept-encoding': visible,
  accept: visible,
  'content-encoding': fc.constantFrom('gzip', 'x', 'identity', ''),
  'x-forwarded-for': visible,
  'x-forwarded-host': visible,
  'x-http-method-override': fc.constantFrom('DELETE', 'PUT'),
  cookie: visible,
  te: visible,
  'repr-digest': fc.oneof(visible, fc.constantFrom('md5=:AA==:', 'sha-256=:AA:', WRONG_DIGEST)),
  trailer: visible,
  __proto__x: visible,
}
const wellFormed: fc.Arbitrary<Field> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('content-type', 'x-correlation-id', 'x-request-id', ...Object.keys(FIELDS)).chain(name => FIELDS[name]!.map(value => [name, value] as const)) },
  { weight: 1, arbitrary: fc.tuple(fc.string({ unit: fc.constantFrom(...'abcXYZ019-_.!#$%&\'*+^`|~'), minLength: 1, maxLength: 12 }).map(name => `z-${name}`), visible) }
)
const anyFields = fc.array(fc.oneof({ weight: 9, arbitrary: wellFormed }, { weight: 1, arbitrary: fc.tuple(octets, octets) }), { minLength: 1, maxLength: 5 })

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The id of the answer, as the contract has it; undefined for any UUID. */
function modelOfId (fields: readonly Field[]): string | undefined {
  for (const name of ['x-correlation-id', 'x-request-id']) {
    const values = fields.filter(field => field[0].toLowerCase() === name).map(([, value]) => value.replace(/^[ \t]+|[ \t]+$/g, ''))
    if (values.length === 1 && /^[A-Za-z0-9._:-]{1,128}$/.test(values[0]!)) return values[0]
  }
  return undefined
}

/** The type of a file that has no signature. */
function modelOfType (declared: string | undefined): string {
  try {
    const { type, subtype } = new MIMEType(declared ?? '')
    if (type.length <= 127 && subtype.length <= 127 && !`${type}${subtype}`.includes('*')) return `${type}/${subtype}`
  } catch {}
  return 'application/octet-stream'
}

function assertSane (answer: RawAnswer, statuses: readonly number[]): void {
  assert(statuses.includes(answer.status), `${answer.status} ${answer.text}`)
  const strange = [...answer.headers.keys()].filter(name => !ANSWER_HEADERS.includes(name))
  assert.deepEqual(strange, [])
  assert(answer.headers.has('x-correlation-id'))
  if (answer.status >= 400) assertErrorShape(answer)
}

function request (line: string, fields: readonly Field[], body: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([Buffer.from(`${line} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`, 'latin1'), body])
}

t.test('headers of any kind', async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...CALM, UPLOAD_MAX_BYTES: String(MAX_BYTES) })
  const { body: { track: { key } } } = await put(service, CONTENT)
  const name = key.split('/').at(-1)
  const kept = b2.versions().length
  const GETS = ['/health', '/ready', '/metrics', '/nowhere', `/uploads/${name}`, `/uploads/${name}/content`]
  const stored = (): string[] => b2.versions().filter(version => version.key !== key).map(version => sha256(b2.read(version.key)!))
  const forget = async (): Promise<void> => {
    for (const version of b2.versions()) if (version.key !== key) await service.app.uploads.remove(version.key.split('/').at(-1)!)
    assert.equal(b2.versions().length, kept)
    assert.deepEqual(await service.localFiles(), [])
  }

  await t.test('on what reads, they make no answer that is not documented', async () => {
    await holds(150, fc.asyncProperty(fc.constantFrom(...GETS), anyFields, async (path, fields) => {
      const answers = answersIn(await exchange(service, [request(`GET ${path}`, [['host', 'x'], ['connection', 'close'], ...fields])]))
      assert.equal(answers.length, 1)
      const [answer] = answers as [RawAnswer]
      assertSane(answer, [200, 206, 304, 400, 404, 412, 416, 417, 431])
      const id = answer.headers.get('x-correlation-id')!
      if (answer.status === 400) assert(UUID.test(id) || id === modelOfId(fields))
      else assert(modelOfId(fields) === undefined ? UUID.test(id) : id === modelOfId(fields))
      if (path.endsWith('/content') && answer.status === 200) assert.equal(answer.text, CONTENT.toString())
    }))
  })

  await t.test('on uploads, all of the file is stored or nothing', async () => {
    const uploads = fc.oneof(
      anyFields.map(fields => ({ line: 'PUT /uploads/x', body: CONTENT, fields })),
      anyFields.map(fields => ({ line: 'POST /uploads', body: FORM, fields: [['content-type', `multipart/form-data; boundary=${BOUNDARY}`] as const, ...fields] }))
    )
    await holds(150, fc.asyncProperty(uploads, async ({ line, body, fields }) => {
      await forget()
      const own: Field[] = [['host', 'x'], ['connection', 'close'], ['content-length', String(body.byteLength)]]
      const answers = answersIn(await exchange(service, [request(line, [...own, ...fields], body)]))
      const [answer] = answers
      assert(answer !== undefined)
      const isCoded = fields.some(([name, value]) => name.toLowerCase() === 'content-encoding' && !['', 'identity'].includes(value))
      const isConditional = fields.some(([name]) => name.toLowerCase() === 'if-match')
      const statuses = [201, 400, 413, 417, 431, ...(isConditional ? [412] : [])]
      for (const each of answers) assertSane(each, line.startsWith('PUT') && !isCoded ? statuses : [...statuses, 415])
      if (answer.status === 201) {
        assert.equal(answers.length, 1)
        const { track } = answer.body
        assert(!isCoded, 'what is packed is not stored as the file')
        assert(!isConditional, 'no file is there that If-Match could name')
        assert(!fields.some(([name]) => name === 'content-range'), 'a piece of a file is not stored as one')
        assert(line.startsWith('POST') || !fields.some(([, value]) => value === WRONG_DIGEST), 'a file that is not the one that was meant is not stored')
        assert.deepEqual([track.sha256, track.size_bytes], [sha256(CONTENT), CONTENT.byteLength])
        assert.equal(answer.headers.get('location'), `/uploads/${track.key.split('/').at(-1)}`)
        if (line.startsWith('PUT')) assert.equal(track.content_type, modelOfType(fields.find(([name]) => name.toLowerCase() === 'content-type')?.[1]))
        assert.deepEqual(stored(), [track.sha256])
      } else assert.deepEqual(stored(), [])
    }))
  })

  await t.test('a body has the length that it says, or is not stored', async () => {
    const lengths = fc.oneof(fc.nat({ max: 60 }), fc.integer({ min: MAX_BYTES - 2, max: MAX_BYTES + 2 })).map(String)
    const odd = fc.constantFrom('+5', '-1', '5, 5', '5,6', '0x5', '5.0', '1e1', '', ' ', '5 5', '18446744073709551616', '9007199254740993', 'five')
    const framings: fc.Arbitrary<Field[]> = fc.oneof(
      { weight: 4, arbitrary: lengths.map(length => [['content-length', length]] as Field[]) },
      { weight: 1, arbitrary: odd.map(length => [['content-length', length]] as Field[]) },
      { weight: 1, arbitrary: fc.tuple(lengths, lengths).map(both => both.map(length => ['Content-Length', length])) as unknown as fc.Arbitrary<Field[]> },
      { weight: 1, arbitrary: fc.tuple(lengths, fc.constantFrom('chunked', 'identity', 'x')).map(([length, coding]) => [['content-length', length], ['transfer-encoding', coding]] as Field[]) },
      { weight: 1, arbitrary: fc.constant<Field[]>([]) }
    )
    await holds(120, fc.asyncProperty(framings, fc.nat({ max: 60 }), async (framing, count) => {
      await forget()
      const content = Buffer.alloc(count, '\x01') // no bytes that a request could begin with
      const answers = answersIn(await exchange(service, [request('PUT /uploads/x', [['host', 'x'], ['connection', 'close'], ...framing], content)]))
      for (const each of answers) assertSane(each, [201, 400, 413])
      const said = framing.length === 0 ? 0 : framing.length === 1 && /^\d{1,15}$/.test(framing[0]![1]) ? Number(framing[0]![1]) : NaN
      if (answers[0]?.status === 201) {
        assert(said <= count, 'all that was announced has come')
        assert.deepEqual(stored(), [sha256(content.subarray(0, said))])
        assert.equal(answers[0].body.track.size_bytes, said)
      } else {
        assert(said !== count || said > MAX_BYTES, 'a good request is not refused')
        if (said > MAX_BYTES) assert.equal(answers[0]?.status, 413)
        if (Number.isNaN(said)) assert(answers[0] !== undefined && answers[0].status >= 400)
        // Who sends more than was announced spoils the answer, perhaps, but not the file.
        assert.deepEqual(stored().filter(hash => !(said < count && hash === sha256(content.subarray(0, said)))), [])
      }
    }))
  })

  await t.test('a trace is in the log where its header is well-formed, and nowhere else', async () => {
    const digits = (length: number): fc.Arbitrary<string> => fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
    const good = fc.record({ version: fc.constantFrom('00', '01', 'fe'), trace: digits(32).filter(id => !/^0+$/.test(id)), span: digits(16).filter(id => !/^0+$/.test(id)), flags: digits(2) })
    const headers = fc.oneof(
      good.map(({ version, trace, span, flags }) => ({ header: `${version}-${trace}-${span}-${flags}`, trace })),
      good.map(({ trace, span, flags }) => ({ header: `01-${trace}-${span}-${flags}-more`, trace })),
      good.chain(({ version, trace, span, flags }) => fc.constantFrom(
        `ff-${trace}-${span}-${flags}`, `00-${trace}-${span}-${flags}-more`, `${version}-${'0'.repeat(32)}-${span}-${flags}`, `${version}-${trace}-${'0'.repeat(16)}-${flags}`,
        `${version}-${trace.slice(1)}-${span}-${flags}`, `${version}-${trace}-${span}`, `${version}-${trace.slice(1)}G-${span}-${flags}`, `${version}-${trace}-${span}-${flags}x`, `x${version}-${trace}-${span}-${flags}`
      ).map(header => ({ header, trace: undefined }))),
      visible.map(header => ({ header, trace: undefined }))
    )
    await holds(50, fc.asyncProperty(headers, fc.uuid(), async ({ header, trace }, id) => {
      await forget()
      const fields: Field[] = [['host', 'x'], ['connection', 'close'], ['content-length', '0'], ['traceparent', header], ['x-correlation-id', id]]
      const [answer] = answersIn(await exchange(service, [request('PUT /uploads/x', fields)]))
      assert.equal(answer?.status, 201)
      assert.equal(service.log.of('upload.stored').find(line => line.correlation_id === id)?.['trace_id'], trace)
    }))
  })
})

t.test('only the key itself opens the door, and what was tried is told to nobody', async t => {
  const KEY = 'a-key-of-Some.length~0'
  const service = await startService(t, { API_KEYS: KEY })
  const scheme = fc.constantFrom('Bearer', 'bearer', 'BEARER', 'Basic', 'Bear', '')
  const token = fc.oneof(fc.constantFrom(KEY, KEY, KEY.toLowerCase(), KEY.slice(1), `${KEY}x`, `${KEY},${KEY}`, `${KEY} ${KEY}`, `"${KEY}"`, encodeURIComponent(`${KEY}/`), '*', '.*'), visible)
  const given = fc.oneof(
    { weight: 1, arbitrary: fc.tuple(scheme, fc.constant(' '), fc.constant(KEY)) },
    { weight: 3, arbitrary: fc.tuple(scheme, fc.constantFrom(' ', '  ', '\t', '', ','), token) }
  )
  await holds(100, fc.asyncProperty(given, async ([scheme, space, token]) => {
    const secret = `${scheme}${space}${token}`
    const [answer] = answersIn(await exchange(service, [request('GET /metrics', [['host', 'x'], ['connection', 'close'], ['authorization', secret]])]))
    assert(answer !== undefined)
    assertSane(answer, [200, 400, 401])
    const isGood = /^bearer$/i.test(scheme) && token === KEY && space === ' '
    if (answer.status === 200) assert(/^bearer$/i.test(scheme) && token.trim() === KEY && /^ +$/.test(space))
    else assert(!isGood, 'the key is taken')
    if (answer.status !== 200 && token.length >= 8) assert(!answer.text.includes(token))
  }))
  const lines = JSON.stringify(service.log.lines)
  assert(!lines.includes(KEY) && !/bearer |basic /i.test(lines))
})
