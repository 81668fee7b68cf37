import fc from 'fast-check'

/** A part as it is sent, and what it means. */
export interface SentPart {
  readonly name: string
  /** Undefined for a text field. */
  readonly filename?: string
  readonly type?: string
  readonly content: Buffer
  /** What a text field says. */
  readonly text?: string
  /** Lines of its head. */
  readonly head: readonly string[]
}

export interface SentForm {
  readonly boundary: string
  readonly contentType: string
  readonly parts: readonly SentPart[]
  readonly body: Buffer
  /** Where the end of the form is complete; what follows is the epilogue. */
  readonly end: number
}

const BCHARS = [...'ABCxyz0189\'()+_,-./:=? ']
const boundaries = fc.oneof(
  fc.constantFrom('----WebKitFormBoundary7MA4YWxkTrZu0gW', '------------------------d74496d66958873e', '-', '--', 'a'),
  fc.string({ unit: fc.constantFrom(...BCHARS), minLength: 1, maxLength: 70 }).filter(text => !text.startsWith(' ') && !text.endsWith(' '))
)

/** Any bytes, and those that a parser may stumble over. */
function contents (boundary: string): fc.Arbitrary<Buffer> {
  const traps = ['\r\n', '\r', '\n', '--', '\r\n--', `--${boundary}`, `\r\n--${boundary.slice(0, -1)}`, `--${boundary}--\r\n`, '\r\n\r\n', 'Content-Disposition: form-data; name="x"', '\0']
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes)),
    fc.constantFrom(...traps).map(text => Buffer.from(text))
  )
  return fc.array(piece, { maxLength: 8 }).map(all => withoutDelimiter(Buffer.concat(all), boundary))
}

/** No line of a content may begin with the boundary: clients choose one of which that is true. */
function withoutDelimiter (content: Buffer, boundary: string): Buffer {
  const delimiter = `\r\n--${boundary}`
  let text = `\r\n${content.toString('latin1')}`
  while (text.includes(delimiter)) text = text.replace(delimiter, '\r\n')
  return Buffer.from(text.slice(2), 'latin1')
}

// As in headers of forms: what is not in quotes there, and is no control character.
const plain = fc.string({ unit: 'grapheme', maxLength: 20 }).map(text => text.replaceAll(/[\p{Cc}"\\%/]/gu, '_'))
const named = fc.oneof(plain, fc.tuple(plain, fc.constantFrom('\\', '\\\\', '\\x', ';', '; filename=')).map(pieces => pieces.join('')))
const fieldNames = named.filter(name => !(name in Object.prototype) && Buffer.byteLength(name) <= 64)
const filenames = plain.map(name => `x${name}.bin`)

function heads (disposition: string, type: string | undefined): fc.Arbitrary<string[]> {
  const cased = (name: string): fc.Arbitrary<string> => fc.constantFrom(name, name.toLowerCase(), name.toUpperCase())
  return fc.record({
    disposition: cased('Content-Disposition'),
    type: cased('Content-Type'),
    space: fc.constantFrom(' ', '', '\t'),
    more: fc.subarray(['X-Other: "; name="no', 'Content-Length: 7', 'Content-Transfer-Encoding: binary', 'content-transfer-encoding:8BIT', 'Empty:']),
    order: fc.boolean(),
  }).map(({ disposition: name, type: typeName, space, more, order }) => {
    const own = [`${name}:${space}${disposition}`, ...(type === undefined ? [] : [`${typeName}:${space}${type}`])]
    return order ? [...more, ...own] : [...own.reverse(), ...more]
  })
}

// More than a parser gives back as it was.
const jsons = fc.oneof(fc.json(), fc.constantFrom(' {"a": 1 }\r\n', '12345678901234567890', '1.0', '1e999', '{"a":1,"a":2}', '"\\u0041"', '{"__proto__":1}'))

function textFields (boundary: string): fc.Arbitrary<SentPart> {
  const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 100 }), contents(boundary).map(content => content.toString('utf8')))
    .map(value => withoutDelimiter(Buffer.from(value), boundary))
  const field = (type: string | undefined, value: fc.Arbitrary<Buffer>, charset = 'utf-8'): fc.Arbitrary<SentPart> => fc.tuple(fieldNames, value)
    .chain(([name, content]) => heads(`form-data; name="${name}"`, type).map(head => ({
      name, content, head, text: new TextDecoder(charset, { ignoreBOM: true }).decode(content), ...(type === undefined ? {} : { type })
    })))
  return fc.oneof(
    field(undefined, text), field('text/plain', text), field('text/plain; charset=UTF-8', text),
    field('text/plain; charset="KOI8-R"', contents(boundary), 'koi8-r'),
    field('application/json', jsons.map(json => withoutDelimiter(Buffer.from(json), boundary)))
  )
}

function fileParts (boundary: string): fc.Arbitrary<SentPart> {
  return fc.record({
    name: fieldNames,
    filename: filenames,
    type: fc.constantFrom('application/octet-stream', 'text/plain', 'image/x-nothing', 'application/json', undefined),
    content: contents(boundary),
    parameters: fc.constantFrom<(name: string, filename: string) => string>(
      (name, filename) => `name="${name}"; filename="${filename}"`,
    (name, filename) => `name="${name}"; filename="=?utf-8?B?eA==?="; filename*=UTF-8''${encodeURIComponent(filename).replaceAll('\'', '%27')}`,
    (name, filename) => `filename*="utf-8''${encodeURIComponent(filename).replaceAll('\'', '%27')}"; name="${name}"; filename=no`
    ),
  }).chain(({ name, filename, type, content, parameters }) => heads(`form-data; ${parameters(name, filename)}`, type)
    .map(head => ({ name, filename, content, head, ...(type === undefined ? {} : { type }) })))
}

const emptyInput: SentPart = {
  name: 'none', filename: '', content: Buffer.alloc(0), head: ['Content-Disposition: form-data; name="none"; filename=""', 'Content-Type: application/octet-stream'],
}

/** Forms as RFC 7578 has them, one in three with more or less than one file. */
export const forms: fc.Arbitrary<SentForm> = boundaries.chain(boundary => fc.record({
  fields: fc.uniqueArray(textFields(boundary), { maxLength: 5, selector: ({ name }) => name }),
  files: fc.oneof({ weight: 4, arbitrary: fc.array(fileParts(boundary), { minLength: 1, maxLength: 1 }) }, { weight: 1, arbitrary: fc.array(fileParts(boundary), { maxLength: 3 }) }),
  empty: fc.nat({ max: 2 }),
  order: fc.array(fc.nat({ max: 1_000 }), { minLength: 10, maxLength: 10 }),
  preamble: fc.oneof({ weight: 3, arbitrary: fc.constant(Buffer.alloc(0)) }, { weight: 1, arbitrary: contents(boundary).map(bytes => Buffer.concat([bytes, Buffer.from('\r\n')])) }),
  epilogue: fc.oneof(fc.constantFrom('', '\r\n').map(text => Buffer.from(text)), fc.uint8Array({ maxLength: 60 }).map(bytes => Buffer.concat([Buffer.from('\r\n'), bytes]))),
  quoted: fc.boolean(),
  param: fc.constantFrom('boundary', 'Boundary', 'BOUNDARY'),
}).map(({ fields, files, empty, order, preamble, epilogue, quoted, param }) => {
  const parts = [...fields, ...files, ...Array.from({ length: empty }, () => emptyInput)]
    .map((part, index) => ({ part, at: order[index]! })).sort((a, b) => a.at - b.at).map(({ part }) => part)
  const upToEnd = Buffer.concat([
    preamble,
    ...parts.flatMap(({ head, content }) => [Buffer.from(`--${boundary}\r\n${head.join('\r\n')}\r\n\r\n`), content, Buffer.from('\r\n')]),
    Buffer.from(`--${boundary}--`),
  ])
  const isToken = /^[\w'+.-]+$/.test(boundary)
  const contentType = `multipart/form-data; ${param}=${quoted || !isToken ? `"${boundary}"` : boundary}`
  const body = Buffer.concat([upToEnd, epilogue])
  return { boundary, contentType, parts, body, end: upToEnd.byteLength, [fc.toStringMethod]: () => `${contentType}: ${JSON.stringify(body.toString('latin1'))}` }
}))
