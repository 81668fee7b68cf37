const TEXT = /^text\/|[/+](?:json|xml|yaml)$|^application\/(?:csv|ecmascript|geo\+json-seq|graphql|javascript|json-seq|jsonl|sql|toml|typescript|vnd\.apple\.mpegurl|x-httpd-php|x-javascript|x-json|x-jsonlines|x-latex|x-mpegurl|x-ndjson|x-perl|x-python|x-sh|x-subrip|x-tex|x-yaml)$|^application\/x-www-form-urlencoded$|^audio\/(?:x-)?(?:mpegurl|scpls)$|^message\//
/** Types of text that their first bytes show beyond doubt. */
const SHOWN_TEXT = /^text\/|^application\/(?:eps|pdf|pgp-encrypted|rtf|x-deb|x-ms-regedit|x-unix-archive|xml)$/
const XML = /[/+]xml$|^text\/(?:html|xsl)$/

/**
 * Whether a declared type stands against what the first bytes seem to show. Some signatures are two or three letters, such as `BM`, `MZ`
 * and `ID3`, with which a text may begin as well; and XML says nothing of what is written in it.
 */
export function isDeclaredText (declared: string, sniffed: string, head: Uint8Array): boolean {
  if (sniffed === 'application/xml' && XML.test(declared)) return true
  return TEXT.test(declared) && !SHOWN_TEXT.test(sniffed) && !isPostScript(head) && isText(head)
}

/** `%!` alone is the beginning of a comment, too. */
function isPostScript (head: Uint8Array): boolean {
  return Buffer.from(head.subarray(0, 4)).toString('latin1') === '%!PS'
}

const ENOUGH_TO_TELL = 64

/** Text in UTF-8, or in UTF-16 with a byte order mark; a longer one in an older encoding, too. The last character may be cut off. */
function isText (head: Uint8Array): boolean {
  const isUtf16 = (head[0] === 0xff && head[1] === 0xfe) || (head[0] === 0xfe && head[1] === 0xff)
  const encoding = !isUtf16 ? 'utf-8' : head[0] === 0xff ? 'utf-16le' : 'utf-16be'
  try {
    return !hasControls(new TextDecoder(encoding, { fatal: true }).decode(head, { stream: true }))
  } catch {
    return !isUtf16 && head.byteLength >= ENOUGH_TO_TELL && !hasControls(Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('latin1'))
  }
}

/** Characters that are in no text (https://mimesniff.spec.whatwg.org/#binary-data-byte). */
function hasControls (text: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return /[\0-\x08\x0b\x0e-\x1a\x1c-\x1f]/.test(text)
}
