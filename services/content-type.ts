import { fileTypeFromBuffer } from 'file-type'

/**
 * Names that mean the same format, mapped to the one this service uses. The IANA-registered name wins
 * (`audio/mp4`, `audio/flac`), with one exception: `audio/wav`, which every browser and tool says, instead of
 * the registered `audio/vnd.wave`. Formats without a registered name keep the customary one.
 */
const SYNONYMS: Readonly<Record<string, string>> = {
  'audio/m4a': 'audio/mp4',
  'audio/mp3': 'audio/mpeg',
  'audio/vnd.wave': 'audio/wav',
  'audio/wave': 'audio/wav',
  'audio/x-aac': 'audio/aac',
  'audio/x-aiff': 'audio/aiff',
  'audio/x-flac': 'audio/flac',
  'audio/x-m4a': 'audio/mp4',
  'audio/x-mp3': 'audio/mpeg',
  'audio/x-mpeg': 'audio/mpeg',
  'audio/x-wav': 'audio/wav',
  'video/x-m4v': 'video/mp4'
}

// RFC 9110 5.6.2 `token`, without `*` (a media range is no media type), at most 127 characters (RFC 6838 4.2).
const ESSENCE = /^[\w!#$%&'+\-.^`|~]{1,127}\/[\w!#$%&'+\-.^`|~]{1,127}$/

/** Enough to tell one (https://mimesniff.spec.whatwg.org/#matching-an-image-type-pattern); file-type wants the chunks behind it to be well-formed. */
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]

/**
 * The media type that the first bytes of a file show, lower case and without parameters, under the name of
 * {@link SYNONYMS} where there are several. Undefined for an empty file and wherever the bytes tell nothing (plain text has
 * no signature). Never throws.
 *
 * An MP4 file is `audio/mp4` only where its `ftyp` brand says so (`M4A `, `M4B `); with a general brand it is `video/mp4`.
 *
 * @param head the file's bytes from byte 0 on; 64 KiB is plenty
 */
export async function sniffContentType (head: Uint8Array): Promise<string | undefined> {
  try {
    const found = await fileTypeFromBuffer(head)
    if (found !== undefined) return usualName(essence(found.mime))
    return PNG.every((byte, index) => head[index] === byte) ? 'image/png' : undefined
  } catch {
    return undefined
  }
}

/**
 * The media type that a Content-Type header declares: its essence (`type/subtype`) in lower case, parameters dropped.
 * Undefined where there is none or it is not valid by RFC 9110 8.3.1. Synonyms stay as the client wrote them.
 */
export function declaredContentType (header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  const type = essence(header)
  return ESSENCE.test(type) ? type : undefined
}

/**
 * Whether `type` is one of `allowed`: media types or wildcards such as `audio/*`, in any case, synonyms
 * (`audio/mp3`, `audio/x-wav`, …) counting as the same. An empty list allows everything.
 */
export function isAllowedType (type: string, allowed: readonly string[]): boolean {
  if (allowed.length === 0) return true
  const name = usualName(essence(type))
  return allowed.some(entry => {
    const pattern = usualName(essence(entry))
    return pattern === '*/*' || pattern === name || (pattern.endsWith('/*') && name.startsWith(pattern.slice(0, -1)))
  })
}

function essence (mediaType: string): string {
  return mediaType.split(';', 1)[0]!.trim().toLowerCase()
}

function usualName (type: string): string {
  return SYNONYMS[type] ?? type
}
