import { fileTypeFromBuffer } from 'file-type'
import { tracksOf } from '../audio/container-tracks.ts'
import { isDeclaredText } from './declared-text.ts'
import { audioStart, tagsEnd } from '../audio/id3.ts'
import { hasMpegAudio, startsMpegAudio } from '../audio/mpeg-frames.ts'

/**
 * Names that mean the same format, mapped to the one this service uses. The IANA-registered name wins
 * (`audio/mp4`, `audio/flac`), with one exception: `audio/wav`, which every browser and tool says, instead of
 * the registered `audio/vnd.wave`. Formats without a registered name keep the customary one.
 */
const SYNONYMS: Readonly<Record<string, string>> = {
  'audio/3gp': 'audio/3gpp',
  'audio/3gp2': 'audio/3gpp2',
  'audio/m4a': 'audio/mp4',
  'audio/mp3': 'audio/mpeg',
  'audio/vnd.wave': 'audio/wav',
  'audio/wave': 'audio/wav',
  'audio/x-aac': 'audio/aac',
  'audio/x-aiff': 'audio/aiff',
  'audio/x-flac': 'audio/flac',
  'audio/x-m4a': 'audio/mp4',
  'audio/x-matroska': 'audio/matroska',
  'audio/x-mp3': 'audio/mpeg',
  'audio/x-mpeg': 'audio/mpeg',
  'audio/x-wav': 'audio/wav',
  'video/x-m4v': 'video/mp4',
  'video/x-matroska': 'video/matroska'
}

// RFC 9110 5.6.2 `token`, without `*` (a media range is no media type), at most 127 characters (RFC 6838 4.2).
const ESSENCE = /^[\w!#$%&'+\-.^`|~]{1,127}\/[\w!#$%&'+\-.^`|~]{1,127}$/

/** Enough to tell one (https://mimesniff.spec.whatwg.org/#matching-an-image-type-pattern); file-type wants the chunks behind it to be well-formed. */
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]

/**
 * The media type that the first bytes of a file show, lower case and without parameters, under the name of
 * {@link SYNONYMS} if there are several. Undefined for an empty file and if the bytes tell nothing (plain text has
 * no signature). Never throws.
 *
 * A container with a general brand (MP4) is `video/mp4`; {@link contentTypeOf} knows more.
 */
async function sniff (head: Uint8Array): Promise<string | undefined> {
  return await signatureOf(head) ?? await signatureBehindPadding(head)
}

/** Of audio that has an ID3v2 tag and padding before it, or zeros. */
async function signatureBehindPadding (head: Uint8Array): Promise<string | undefined> {
  const tags = tagsEnd(head)
  const behind = head.subarray(audioStart(head, tags))
  const found = behind.length === head.length ? undefined : await signatureOf(behind)
  if (found?.startsWith('audio/') === true && found !== 'audio/mpeg') return found
  return (tags > 0 ? hasMpegAudio(behind) : behind.length < head.length && startsMpegAudio(behind)) ? found ?? 'audio/mpeg' : undefined
}

async function signatureOf (head: Uint8Array): Promise<string | undefined> {
  try {
    const found = await fileTypeFromBuffer(head)
    if (found !== undefined) return usualName(essence(found.mime))
    return PNG.every((byte, index) => head[index] === byte) ? 'image/png' : undefined
  } catch {
    return undefined
  }
}

/** Generic types, and the declared ones that may be written in them. */
const GENERIC: Readonly<Record<string, RegExp>> = {
  'application/zip': /\+zip$|^application\/(?:java-archive|vnd\.(?:android\.package-archive|apple\.|comicbook|google-earth\.kmz|ms-(?:excel|powerpoint|word)\.|oasis\.opendocument\.|openxmlformats-)|x-cbz|x-java-archive|x-xpinstall)|^model\/3mf$/,
  'application/x-cfb': /^application\/(?:msword|vnd\.(?:ms-|visio)|x-ms)/,
}

/** Names of files that hold audio in a container that may hold video as well. */
const AUDIO_EXTENSIONS: Readonly<Record<string, string>> = {
  '3ga': 'audio/3gpp', m4a: 'audio/mp4', m4b: 'audio/mp4', mka: 'audio/matroska', oga: 'audio/ogg', opus: 'audio/ogg', spx: 'audio/ogg', weba: 'audio/webm',
}

/** The audio and the video kind of containers, and what they are called if that can't be told. */
const CONTAINERS: ReadonlyArray<readonly [audio: string, video: string, unknown?: string]> = [
  ['audio/webm', 'video/webm'],
  ['audio/matroska', 'video/matroska'],
  ['audio/mp4', 'video/mp4'],
  ['audio/mp4', 'video/quicktime'],
  ['audio/3gpp', 'video/3gpp'],
  ['audio/3gpp2', 'video/3gpp2'],
  ['audio/ogg', 'video/ogg', 'application/ogg'],
]

/** What is known of a file's type besides its bytes. */
export interface DeclaredFile {
  /** As {@link declaredContentType} gives it. */
  readonly declaredType?: string | undefined
  readonly filename?: string | undefined
}

/**
 * The media type of a file: what its first bytes show, unless the declared type says the same more exactly, or is a text type that
 * the bytes agree with. Of containers that hold audio or video, the declared type (or the name, if nothing is declared) decides which it is,
 * if the tracks don't contradict. Never throws.
 *
 * @param head the file's bytes from byte 0 on, as many as `tagsEnd` says and some more
 */
export async function contentTypeOf (head: Uint8Array, { declaredType, filename }: DeclaredFile): Promise<{ readonly type: string, readonly isSniffed: boolean }> {
  const sniffed = await sniff(head)
  if (sniffed === undefined) return { type: declaredType ?? OCTETS, isSniffed: false }
  if (declaredType !== undefined && (isDeclaredText(declaredType, sniffed, head) || GENERIC[sniffed]?.test(declaredType) === true)) {
    return { type: declaredType, isSniffed: false }
  }
  const isDeclared = declaredType !== undefined && declaredType !== OCTETS
  const extension = /\.([a-z0-9]+)$/i.exec(filename ?? '')?.[1]?.toLowerCase() ?? ''
  return { type: containedType(sniffed, isDeclared ? declaredType : AUDIO_EXTENSIONS[extension] ?? '', head), isSniffed: true }
}

const OCTETS = 'application/octet-stream'

function containedType (sniffed: string, declared: string, head: Uint8Array): string {
  const [audio, video] = CONTAINERS.find(names => names.includes(sniffed)) ?? []
  const wanted = declared.split('/', 1)[0]
  if (audio === undefined || video === undefined || sniffed.startsWith(`${wanted}/`)) return sniffed
  const tracks = tracksOf(head)
  if (wanted === 'audio') return tracks === undefined || (tracks.audio && !tracks.video) ? audio : sniffed
  // What shows itself as audio is a video only if one has been seen.
  return wanted === 'video' && (tracks?.video ?? sniffed !== audio) ? video : sniffed
}

/**
 * The media type that a Content-Type header declares: its essence (`type/subtype`) in lower case, parameters dropped.
 * Undefined if there is none, or it is not valid by RFC 9110 8.3.1. Synonyms stay as the client wrote them.
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
