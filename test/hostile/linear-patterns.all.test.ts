import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { correlationIdOf } from '../../plugins/correlation-id.ts'
import { boundaryOf } from '../../routes/form/scanner.ts'
import { decodeText } from '../../routes/form/text.ts'
import { readHead } from '../../routes/form/part-head.ts'
import { rewriteUrl } from '../../routes/http/request-target.ts'
import { describeFailure } from '../../services/b2/error-codes.ts'
import { createRedactor } from '../../services/b2/redact.ts'
import { rangeOf } from '../../routes/http/range-header.ts'
import { declaredContentType, isAllowedType } from '../../services/intake/content-type.ts'
import { baseName, isKey, newKey } from '../../services/keys.ts'
import { allowsRange, checkConditions } from '../../routes/http/preconditions.ts'
import { parseTraceparent } from '../../plugins/trace-context.ts'
import { UploadError } from '../../services/upload-errors.ts'
import { seeded } from '../support/clients/leaving-client.ts'
import { connect, isError } from '../support/clients/raw-http.ts'
import { put, startService } from '../support/service/service.ts'

const LENGTH = 16_384 // Node takes no more for the headers of a request
// Some hundred times what they take. A quadratic pattern takes ten times as long.
const MOST_NS_PER_CHARACTER = 2_000

const validators = { etag: '"x"', modifiedAt: 0 }
const redact = createRedactor(['secret'])

/** All that reads what clients, or B2, say. */
const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  Range: text => rangeOf(text, 1_000),
  'If-Match': text => checkConditions({ 'if-match': text }, validators),
  'If-None-Match': text => checkConditions({ 'if-none-match': text }, validators),
  'If-Unmodified-Since': text => checkConditions({ 'if-unmodified-since': text }, validators),
  'If-Modified-Since': text => checkConditions({ 'if-modified-since': text }, validators),
  'If-Range': text => allowsRange({ 'if-range': text }, validators),
  'Content-Type': text => isAllowedType(declaredContentType(text) ?? '', ['audio/*']),
  boundary: text => boundaryOf(text),
  traceparent: text => parseTraceparent(text),
  'X-Correlation-Id': text => correlationIdOf({ headers: { 'x-correlation-id': text } } as unknown as IncomingMessage),
  target: text => rewriteUrl({ url: text }),
  filename: text => newKey('tracks/', 'id', baseName(text)),
  'head of a part': text => readPart(`content-disposition: form-data; name="x"; ${text}`),
  'name of a part': text => readPart(`content-disposition: form-data; name="${text}; filename*=utf-8''${text}`),
  'headers of a part': text => readPart(`content-disposition: form-data\r\ncontent-type: text/plain; charset=${text}\r\n${text}`),
  'text of a part': text => decodeText(Buffer.from(text), 'utf-8'),
  'name in a path': text => isKey('tracks/', `tracks/${text}`),
  'words of B2': text => redact(describeFailure(new Error(text)).raw),
}

/** Nanoseconds of CPU time per character that reading a text takes, whatever else runs on the machine. */
function measure (read: (text: string) => unknown, text: string): number {
  const before = process.cpuUsage()
  read(text)
  const { user, system } = process.cpuUsage(before)
  return (user + system) * 1e3 / text.length
}

function readPart (head: string): void {
  try {
    readHead(Buffer.from(head))
  } catch (error) {
    if (!(error instanceof UploadError)) throw error
  }
}

const STARTS = ['', 'bytes=', 'bytes=0-', 'key', 'key id:', 'Credential=', '"', 'W/"', 'audio/', 'multipart/form-data; boundary=', '00-', 'Mon, ', 'A', 'http://', '%', '.']
const PIECES = [' ', '\t', '-', ',', '0', '9', 'a', 'A', '"', '\'', '`', ';', '=', ':', '/', '\\', '.', '%', '%2', '%22', '\u00fc', '\ud83d\ude00', 'key', 'key \'', 'id', '\r', ' -', ', ', '0-0,', 'W/"x",', 'a=b;', '="a\\', '../']
const ENDS = ['', 'x', '"', '-', ' x', '\'x', ';']

t.test('what clients and B2 say is read in linear time', async t => {
  const random = seeded(Number(process.env['FUZZ_SEED'] ?? 20260131))
  const pick = (list: readonly string[]): string => list[Math.floor(random() * list.length)]!
  /** Repetitions of one piece and of two; what a pattern can be slow at is made of these. */
  const texts = [
    ...PIECES.flatMap(piece => ENDS.slice(0, 2).flatMap(end => STARTS.map(start => start + piece.repeat(LENGTH / piece.length) + end))),
    ...Array.from({ length: 300 }, () => pick(STARTS) + pick(PIECES).repeat(LENGTH / 16) + pick(PIECES).repeat(LENGTH / 16) + pick(ENDS)),
    ...Array.from({ length: 300 }, () => pick(STARTS) + (pick(PIECES) + pick(PIECES)).repeat(LENGTH / 16) + pick(ENDS)),
  ]
  for (const [name, read] of Object.entries(READERS)) {
    let worst = { nsPerCharacter: 0, text: '' }
    for (const text of texts) {
      let nsPerCharacter = Infinity
      // The compiler or the garbage collector may make one reading slow, but not each.
      for (let tries = 0; tries < 5 && nsPerCharacter > MOST_NS_PER_CHARACTER / 4; tries++) nsPerCharacter = Math.min(nsPerCharacter, measure(read, text))
      if (nsPerCharacter > worst.nsPerCharacter) worst = { nsPerCharacter, text }
    }
    t.ok(worst.nsPerCharacter < MOST_NS_PER_CHARACTER, `${name}: ${Math.round(worst.nsPerCharacter)} ns a character, for ${JSON.stringify(worst.text.slice(0, 40))}…`)
  }
})

t.test('a Range header of 15,800 spaces is refused like any other that can\'t be read', async t => {
  const service = await startService(t)
  const { body } = await put(service, Buffer.from('0123456789'))
  const client = await connect(t, service)
  for (const range of [`bytes=${' '.repeat(15_800)}x`, `bytes=0${' '.repeat(15_800)}x`, `bytes=${'-'.repeat(15_800)}`]) {
    await client.send(`GET /uploads/${body.track.key.split('/').at(-1)}/content HTTP/1.1\r\nhost: x\r\nrange: ${range}\r\n\r\n`)
    isError(t, await client.answer(), 416, 'range_not_satisfiable')
  }
})
