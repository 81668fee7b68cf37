import { declaredContentType } from '../../services/intake/content-type.ts'
import { UploadError } from '../../services/upload-errors.ts'
import { decodeText } from './text.ts'

/** What the head of a part says about it. */
export interface PartHead {
  readonly name: PartName | undefined
  readonly filename: PartName | undefined
  /** If not, it is a text field. */
  readonly isFile: boolean
  /** The header Content-Type, if there is one. */
  readonly contentType: string | undefined
  /** The charset of the content type, if it has one. */
  readonly charset: string | undefined
}

/** Bytes whose encoding the head does not say, or text. */
export type PartName = Buffer | string

const IDENTITIES = ['', '7bit', '8bit', 'binary']

/**
 * Reads the head of a part as browsers write it (https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data):
 * a backslash is a backslash, and `"`, CR and LF are `%22`, `%0D` and `%0A`. Other clients write `\"`, or `filename*` (RFC 8187).
 * The form parser's own reading is not used: it takes `\"` for a quote always, and the last of `filename` and `filename*`.
 *
 * @param bytes the head, without the empty line behind it
 * @throws {UploadError} for a part that can't be read
 */
export function readHead (bytes: Buffer): PartHead {
  const headers = headersOf(bytes.toString('latin1'))
  const disposition = headers.get('content-disposition')
  if (disposition === undefined || !/^[ \t]*form-data[ \t]*;|^form-data$/i.test(disposition) || isDropped(disposition)) throw unreadableHead()
  const coding = headers.get('content-transfer-encoding')?.trim() ?? ''
  if (!IDENTITIES.includes(coding.toLowerCase())) {
    throw new UploadError('unsupported_media_type', `A part of the form has a transfer encoding (Content-Transfer-Encoding: ${coding.slice(0, 40)}); parts are taken as they are.`, {
      hints: ['Send each part as it is, without Content-Transfer-Encoding (RFC 7578 §4.7).'],
    })
  }
  const parameters = parametersOf(disposition)
  const filename = nameOf(parameters, 'filename')
  const contentType = headers.get('content-type')
  const charset = contentType === undefined ? '' : parametersOf(contentType).get('charset') ?? ''
  return {
    name: nameOf(parameters, 'name'),
    filename,
    isFile: filename !== undefined || declaredContentType(contentType) === 'application/octet-stream',
    contentType,
    charset: charset === '' ? undefined : charset,
  }
}

export function unreadableHead (): UploadError {
  return new UploadError('malformed_upload', 'A part of the form has no head that can be read, with a Content-Disposition of form-data.')
}

/**
 * The first header of each name. Everything after a line that is not a header is ignored, as in the form parser
 * (`HeaderParser` of @fastify/busboy), and both must find the same parts.
 */
function headersOf (head: string): Map<string, string> {
  const lines: string[] = []
  for (const line of head.split('\r\n')) {
    if (/[\r\n]/.test(line)) break
    if (/^[ \t]/.test(line) && lines.length > 0) lines[lines.length - 1] += line // goes on (RFC 5322 §2.2.3)
    else if (line.indexOf(':') > 0) lines.push(line)
    else break
  }
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    if (!headers.has(name)) headers.set(name, line.slice(colon + 1).replace(/^[ \t]/, ''))
  }
  return headers
}

/** The form parser drops a part, and says nothing, if it finds a line break in a name of it that is percent-encoded. */
function isDropped (disposition: string): boolean {
  return disposition.includes('*') && [quoteOfBrowsers, quoteOfMail].some(findQuote => [...parametersOf(disposition, findQuote)]
    .some(([name, value]) => name.endsWith('*') && /%0[ad]/i.test(value)))
}

/** Parameters by name, which is in lower case; the last of each. */
function parametersOf (header: string, findQuote = quoteOfBrowsers): Map<string, string> {
  const parameters = new Map<string, string>()
  for (let at = header.indexOf(';'); at !== -1;) {
    const [all, name, separator, quote] = matchAt(/([^=;]*)(?:(=)[ \t]*("?))?/y, header, at + 1) as unknown as [string, string, string | undefined, string | undefined]
    const start = at + 1 + all.length
    const end = quote === '"' ? findQuote(header, start) : header.indexOf(';', start)
    const value = end === -1 ? header.slice(start) : header.slice(start, end)
    if (separator !== undefined) parameters.set(name.replaceAll(/[ \t]/g, '').toLowerCase(), quote === '"' ? value.replaceAll('\\"', '"') : value.trimEnd())
    at = end === -1 ? -1 : header.indexOf(';', end)
  }
  return parameters
}

function matchAt (pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** Where a quoted value ends: at a quote, unless that has a backslash before it and no end or parameter behind it. */
function quoteOfBrowsers (header: string, start: number): number {
  for (let at = header.indexOf('"', start); at !== -1; at = header.indexOf('"', at + 1)) {
    if (at === start || header[at - 1] !== '\\' || matchAt(/[ \t]*(?:;[ \t]*(?:[^\s"\\=;]+[ \t]*=|$)|$)/y, header, at + 1) !== null) return at
  }
  return -1
}

/** Where a quoted value ends for those who take what follows a backslash for escaped. */
function quoteOfMail (header: string, start: number): number {
  const [escaped] = matchAt(/(?:[^"\\]|\\.)*/y, header, start) ?? ['']
  return header[start + escaped.length] === '"' ? start + escaped.length : -1
}

/** The extended parameter wins, if it can be read (RFC 8187, RFC 6266 §4.3). */
function nameOf (parameters: ReadonlyMap<string, string>, name: 'name' | 'filename'): PartName | undefined {
  const extended = parameters.get(`${name}*`)
  const plain = parameters.get(name)?.replaceAll(/%(?:22|0d|0a)/gi, decodeURIComponent)
  const [, encoding, encoded] = /^([^']*)'[^']*'((?:[^%]|%[\da-f]{2})*)$/i.exec(extended ?? '') ?? []
  const decoded = encoding === undefined ? undefined : decodeText(Buffer.from(encoded!.replaceAll(/%../g, found => String.fromCharCode(parseInt(found.slice(1), 16))), 'latin1'), encoding)
  const bytes = plain ?? extended
  return decoded ?? (bytes === undefined ? undefined : Buffer.from(bytes, 'latin1'))
}
