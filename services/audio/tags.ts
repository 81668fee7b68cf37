import { Type } from '@sinclair/typebox'
import type { Static, TSchema } from '@sinclair/typebox'
import { parseFromTokenizer } from 'music-metadata'
import type { ICommonTagsResult, IFormat } from 'music-metadata'
import { trimId3 } from './id3.ts'
import { oggDuration } from './ogg-duration.ts'
import { partsLength } from './part-bytes.ts'
import { PartTokenizer } from './part-tokenizer.ts'
import type { ReadBudget } from './part-tokenizer.ts'

const MAX_TEXT = 1_000
const MAX_EVENTS = 2_000
const AUDIO_TRACK = 2 // TrackType.audio of music-metadata, which it does not export

const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const text = (description: string) => orNull(Type.String({ maxLength: MAX_TEXT, description }))
const count = (description: string) => orNull(Type.Integer({ minimum: 1, description }))

/** What an audio file says about itself; null is what it doesn't say. */
export const AudioTagsSchema = Type.Object({
  container: text('Container format, such as `WAVE`, `MPEG`, `FLAC`, `Ogg` or the brands of an MP4 file'),
  codec: text('Codec, such as `PCM`, `MPEG 1 Layer 3` or `Opus`'),
  duration_seconds: orNull(Type.Number({ minimum: 0, description: 'Duration in seconds, to the millisecond' })),
  bitrate_bps: count('Bits per second, averaged if the rate varies'),
  sample_rate_hz: count('Samples per second'),
  channels: count('Number of channels'),
  title: text('Title of the track'),
  artist: text('Artist of the track'),
  album: text('Album'),
  track_number: count('Number within the album'),
  year: orNull(Type.Integer({ minimum: 1, maximum: 9999, description: 'Year of the release' })),
  genre: text('Genre; several are joined by a comma')
}, { $id: 'B2UploadsAudioTags', additionalProperties: false, description: "What the file's own tags and headers say; null is what they don't." })

/** What a file's own tags and headers say; null is what they don't. @interface */
export type AudioTags = Static<typeof AudioTagsSchema>

/** What is known about the file besides its bytes. */
export interface AudioFileInfo {
  /** The media type that was sniffed or, if nothing could be sniffed, declared. */
  contentType: string
  /** Size of the whole file in bytes. Unknown: the parts are taken for its beginning only. */
  size?: number | undefined
  /** The client's file name; its extension chooses the parser if the type doesn't. */
  filename?: string
}

// General containers that hold audio as often as not. `audio/*` is always tried.
const MAYBE_AUDIO = new Set(['application/ogg', 'video/mp4', 'video/quicktime'])

// MP4 keeps a table entry per sample, Ogg a comment packet (cover art included) over many pages; all others are brief
// once pictures are out of the way. Together with MAX_EVENTS this bounds what a hostile file
// can cost: a quarter of a second at the worst. An Ogg comment that is larger still leaves its format and duration to be told.
const BUDGET: ReadBudget = { reads: 10_000, bytes: 262_144 /* 256 KiB */, readBytes: 131_072 /* 128 KiB */ }
const MP4_BUDGET: ReadBudget = { reads: 10_000, bytes: 6_291_456 /* 6 MiB */, readBytes: 4_194_304 /* 4 MiB */ }
const OGG_BUDGET: ReadBudget = { reads: 3_000, bytes: 1_572_864 /* 1.5 MiB */, readBytes: 131_072 /* 128 KiB */ }

/** Whether {@link readAudioTags} looks into files of this type at all. */
export function mayHaveTags (contentType: string): boolean {
  return contentType.startsWith('audio/') || MAYBE_AUDIO.has(contentType)
}

/**
 * Reads tags and format of an audio file that is held in memory, or the beginning of one: what lies behind the last part is
 * not missed, what was found until there is returned. Pictures are skipped. Memory is not copied, work is bounded whatever the file
 * says, and other work gets its turn in between.
 *
 * @param parts the file from byte 0 on, in consecutive pieces of any size
 * @returns null for what isn't audio or says nothing about itself; never rejects
 */
export async function readAudioTags (parts: readonly Uint8Array[], info: AudioFileInfo): Promise<AudioTags | null> {
  const isVideo = info.contentType.startsWith('video/')
  if (!mayHaveTags(info.contentType)) return null
  try {
    const held = partsLength(parts)
    if (held === 0) return null
    const whole = info.size !== undefined && info.size <= held
    const found = await parse(parts, info, whole ? held : info.size)
    if (found === undefined) return null
    const tags = toTags(found, measure(found.format, parts, whole ? held : info.size, whole))
    const hasAudio = tags.codec !== null || tags.channels !== null || tags.sample_rate_hz !== null
    return Object.values(tags).some(value => value !== null) && (hasAudio || !isVideo) ? tags : null
  } catch {
    return null
  }
}

interface Found {
  common: ICommonTagsResult
  format: IFormat
}

async function parse (parts: readonly Uint8Array[], info: AudioFileInfo, size: number | undefined): Promise<Found | undefined> {
  const trimmed = trimId3(parts)
  const tokenizer = new PartTokenizer(trimmed.parts, {
    mimeType: parserType(info.contentType),
    ...(info.filename !== undefined && { path: info.filename }),
    ...(size !== undefined && { size: Math.max(0, size - trimmed.removed) })
  }, budgetOf(parserType(info.contentType)))
  // A parse that fails gives nothing; what it had found until then comes through the observer.
  let found: Found | undefined
  let events = 0
  try {
    return await parseFromTokenizer(tokenizer, {
      duration: false,
      skipCovers: true,
      skipPostHeaders: !tokenizer.supportsRandomAccess(),
      observer: event => {
        found = event.metadata
        events += 1
        if (events > MAX_EVENTS) throw new Error('Too many tags')
      }
    })
  } catch {
    return found
  }
}

/** The type by which the parser knows a format that it does not know by all its names. */
function parserType (contentType: string): string {
  if (contentType === 'application/ogg') return 'audio/ogg'
  return /^audio\/3gpp2?$/.test(contentType) ? 'audio/mp4' : contentType
}

/** Of the sound, by the name in the list of tracks if the parser has no other; 3GPP TS 26.244 §6.2 has those of AMR. */
function codecOf ({ codec, trackInfo }: IFormat): string | undefined {
  const name = codec ?? trackInfo?.find(({ type }) => type === AUDIO_TRACK)?.codecName?.replace(/^<(.*)>$/, '$1')
  return name === 'samr' ? 'AMR' : name === 'sawb' ? 'AMR-WB' : name
}

// By the very types that lead to those two parsers: a type that leaves the choice to the file name gets the small budget.
function budgetOf (contentType: string): ReadBudget {
  if (/^audio\/(ogg|opus)$/.test(contentType)) return OGG_BUDGET
  return /^(audio|video)\/mp4$|^audio\/(x-)?m4a$|^video\/quicktime$/.test(contentType) ? MP4_BUDGET : BUDGET
}

/** Duration and bitrate, if the parser alone says too little or too much. */
function measure (format: IFormat, parts: readonly Uint8Array[], size: number | undefined, whole: boolean): { seconds?: number | undefined, bitrate?: number | undefined } {
  const { container = '', codec, codecProfile, duration } = format
  if (container === 'Ogg' && codec !== 'FLAC') {
    // The parser takes the last page it meets for the last of the file.
    const seconds = whole ? oggDuration(parts) : undefined
    const nominal = codec === 'Opus' ? undefined : format.bitrate
    return { seconds, bitrate: nominal || average(size, seconds) }
  }
  if (/^(MPEG|ADTS)/.test(container) && duration === undefined) {
    // The parser stops after a few frames, so what it saw of a variable bitrate says nothing about the file. If the bitrate is
    // constant, a file without tags whose end is out of reach is left without a duration all the same.
    return codecProfile === 'CBR' ? { seconds: average(size, format.bitrate), bitrate: format.bitrate } : {}
  }
  return { seconds: duration, bitrate: format.bitrate || average(size, duration) }
}

/** Bits of the file per second, or seconds by bits per second. */
function average (size: number | undefined, divisor: number | undefined): number | undefined {
  return size !== undefined && divisor ? size * 8 / divisor : undefined
}

function toTags ({ common, format }: Found, { seconds, bitrate }: ReturnType<typeof measure>): AudioTags {
  const clean = format.container === 'WAVE' ? (value: unknown) => cleanText(repairRiffText(value)) : cleanText
  return {
    container: clean(format.container),
    codec: clean(codecOf(format)),
    duration_seconds: isNumber(seconds) && seconds >= 0 ? Math.round(seconds * 1_000) / 1_000 : null,
    bitrate_bps: positive(bitrate),
    sample_rate_hz: positive(format.sampleRate),
    channels: positive(format.numberOfChannels),
    title: clean(common.title),
    artist: clean(common.artist),
    album: clean(common.album),
    track_number: positive(common.track.no),
    year: isNumber(common.year) && common.year >= 1 && common.year <= 9999 ? Math.round(common.year) : null,
    genre: clean(common.genre?.join(', '))
  }
}

function isNumber (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function positive (value: unknown): number | null {
  if (!isNumber(value)) return null
  const rounded = Math.round(value)
  return rounded > 0 && Number.isSafeInteger(rounded) ? rounded : null
}

/** Half a surrogate pair can neither be percent-encoded nor written as UTF-8, so none may stay. */
function cleanText (value: unknown): string | null {
  if (typeof value !== 'string') return null
  const cleaned = value.slice(0, 4 * MAX_TEXT).replace(/\p{Cc}/gu, '').trim().slice(0, MAX_TEXT)
    .replace(/\p{Cs}$/u, '').replace(/\p{Cs}/gu, '\uFFFD').trim()
  return cleaned === '' ? null : cleaned
}

/** RIFF text is Latin-1 by definition, and UTF-8 as most programs write it. */
function repairRiffText (value: unknown): unknown {
  if (typeof value !== 'string' || !/[\x80-\xff]/.test(value) || /[^\0-\xff]/.test(value)) return value
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(value, 'latin1'))
  } catch {
    return value
  }
}
