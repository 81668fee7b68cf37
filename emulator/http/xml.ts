export const DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/'

/** One element: its name, and its text or its children. */
export type XmlElement = readonly [name: string, content: string | number | boolean | readonly XmlElement[]]

function escapeText (text: string): string {
  return text
    .replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
    .replaceAll('\r', '&#13;')
}

function render ([name, content]: XmlElement, indent: string): string {
  if (typeof content !== 'object') return `${indent}<${name}>${escapeText(String(content))}</${name}>\n`
  return `${indent}<${name}>\n${content.map((child) => render(child, indent + '    ')).join('')}${indent}</${name}>\n`
}

/** A result document, pretty-printed and ending in a newline like B2's own. */
export function resultXml (root: string, content: string | readonly XmlElement[]): string {
  const inside = typeof content === 'string' ? escapeText(content) : '\n' + content.map((child) => render(child, '    ')).join('')
  return `${DECLARATION}<${root} xmlns="${NAMESPACE}">${inside}</${root}>\n`
}

/** An error document in B2's form: no namespace, pretty-printed, ending in a newline. */
export function errorXml (code: string, message: string): string {
  return DECLARATION + render(['Error', [['Code', code], ['Message', message]]], '')
}

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

function unescapeText (text: string): string {
  return text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(\w+));/gi, (whole, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return ENTITIES[name] ?? whole
    const point = hex !== undefined ? Number.parseInt(hex, 16) : Number(decimal)
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole
  })
}

function textOf (xml: string, name: string): string | undefined {
  const match = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)
  return match?.[1] === undefined ? undefined : unescapeText(match[1].trim())
}

/**
 * The parts named in the body of CompleteMultipartUpload, in the order given, ETags without their quotes.
 * Undefined if the document is not one.
 */
export function parsePartList (xml: string): Array<{ partNumber: number, etag: string }> | undefined {
  const inside = /<CompleteMultipartUpload(?:\s[^>]*)?>([^]*)<\/CompleteMultipartUpload>\s*$/.exec(xml)?.[1]
  if (inside === undefined) return undefined
  const parts: Array<{ partNumber: number, etag: string }> = []
  for (const [, part = ''] of inside.matchAll(/<Part>([^]*?)<\/Part>/g)) {
    const partNumber = Number(textOf(part, 'PartNumber'))
    const etag = textOf(part, 'ETag')
    if (!Number.isInteger(partNumber) || etag === undefined) return undefined
    parts.push({ partNumber, etag: etag.replaceAll('"', '') })
  }
  return parts.length > 0 ? parts : undefined
}
