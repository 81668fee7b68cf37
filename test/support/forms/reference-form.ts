/** A part of a form. */
export interface ReferencePart {
  /** The name and the file name; undefined where the header is not in the one form that all clients write. */
  readonly names: { readonly name: string, readonly filename?: string } | undefined
  /** Undefined where readers may differ: quotes that don't match, or no bytes and a file name that is not in that form. */
  readonly isFile: boolean | undefined
  readonly content: Buffer
  /** The content as text, in the charset that its type names; undefined if nobody knows that. */
  readonly text: string | undefined
}

// A backslash escapes nothing (WHATWG), so that one before the last quote is the end of a name.
const PARAMETERS = /^form-data(?:\s*;\s*[\w-]+\*?\s*=\s*(?:"[^"]*"|[^\s"\\;]*))*\s*$/i
const DISPOSITION = /^form-data; name="([^"]*)"(?:; filename="([^"]*)")?$/
const IDENTITY = /^\s*(?:7bit|8bit|binary)?\s*$/i

/**
 * The parts of a form, as RFC 7578 and RFC 2046 have them; undefined for what is no form. For comparing with, it is short
 * rather than fast: it has the whole body, and knows nothing of streams.
 */
export function referenceParts (body: Buffer, boundary: string): ReferencePart[] | undefined {
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  let rest = Buffer.concat([Buffer.from('\r\n'), body])
  const next = (): Buffer | undefined => {
    const at = rest.indexOf(delimiter)
    if (at === -1) return undefined
    const before = rest.subarray(0, at)
    rest = rest.subarray(at + delimiter.byteLength)
    return before
  }
  if (next() === undefined) return undefined // the preamble
  const parts: ReferencePart[] = []
  while (rest.toString('latin1', 0, 2) !== '--') {
    if (rest.toString('latin1', 0, 2) !== '\r\n') return undefined
    const part = next()
    const end = part?.indexOf('\r\n\r\n') ?? -1
    if (part === undefined || end === -1) return undefined
    const parsed = partOf(part.toString('utf8', 2, end), part.subarray(end + 4))
    if (parsed === undefined) return undefined
    parts.push(parsed)
  }
  return parts
}

function partOf (head: string, content: Buffer): ReferencePart | undefined {
  const headers: { name: string, value: string }[] = []
  // A header may go on in the next line (RFC 5322 §2.2.3). What follows the first line that is no header says nothing; white
  // space before the first name makes it another one.
  for (const line of head.split('\r\n')) {
    const [, name, value] = /^([^:\r\n]+):[ \t]?([^\r\n]*)$/.exec(line) ?? []
    const last = headers.at(-1)
    if (last !== undefined && /^[ \t][^\r\n]*$/.test(line)) last.value += line
    else if (name !== undefined && value !== undefined) headers.push({ name: name.toLowerCase(), value })
    else break
  }
  const first = (wanted: string): string | undefined => headers.find(({ name }) => name === wanted)?.value
  const disposition = first('content-disposition')
  if (disposition === undefined || !/^form-data(?:;|$)/i.test(disposition.replaceAll(/[ \t]/g, ''))) return undefined
  if (!IDENTITY.test(first('content-transfer-encoding') ?? '')) return undefined
  const [, name, filename] = DISPOSITION.exec(disposition) ?? []
  const isUnclear = !PARAMETERS.test(disposition) || (name === undefined && content.byteLength === 0)
  const isFile = isUnclear ? undefined : /;\s*filename\*?\s*=/i.test(disposition.replaceAll(/"[^"]*"/g, '""')) || /^\s*application\/octet-stream\s*(?:;|$)/i.test(first('content-type') ?? '')
  return { names: name === undefined ? undefined : { name, ...(filename === undefined ? {} : { filename }) }, isFile, content, text: textOf(content, first('content-type')) }
}

function textOf (content: Buffer, type = ''): string | undefined {
  try {
    return new TextDecoder(/;\s*charset\s*=\s*"?([^\s";]+)/i.exec(type)?.[1] ?? 'utf-8', { ignoreBOM: true }).decode(content)
  } catch {
    return undefined
  }
}
