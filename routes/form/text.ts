// What windows-1252 has in the place of the C1 control characters. It is what WHATWG's labels iso-8859-1 and us-ascii mean, too;
// some versions of Node decode it as ISO 8859-1 all the same (https://github.com/nodejs/node/issues/56542).
const WINDOWS_1252 = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ'

/**
 * Text in an encoding that a client names, as browsers read it (https://encoding.spec.whatwg.org/#names-and-labels). Undefined for
 * a label that nobody knows, and for bytes that are no text in that encoding.
 */
export function decodeText (bytes: Buffer, label: string): string | undefined {
  try {
    const { encoding } = new TextDecoder(label)
    if (encoding === 'windows-1252') return bytes.toString('latin1').replaceAll(/[\x80-\x9f]/g, found => WINDOWS_1252[found.charCodeAt(0) - 0x80]!)
    // A byte order mark says what the label utf-16 leaves open; in UTF-8 it is a character like others.
    const actual = encoding === 'utf-16le' && bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : encoding
    return new TextDecoder(actual, { fatal: true, ignoreBOM: actual === 'utf-8' }).decode(bytes)
  } catch {
    return undefined
  }
}

/** Whether {@link decodeText} knows an encoding. */
export function isEncoding (label: string): boolean {
  return decodeText(Buffer.alloc(0), label) !== undefined
}
