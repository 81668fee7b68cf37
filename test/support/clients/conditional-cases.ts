/** What the server says about the file, and dates around it. */
export interface Validators {
  readonly etag: string
  /** As in Last-Modified. */
  readonly date: string
}

/** The whole file (200), an answer without it, the range from first to last byte (206), or several of them (206, multipart). */
export type Expected = 200 | 304 | 412 | 416 | readonly [first: number, last: number] | 'multipart'

/** `differs`: what nginx answers instead, and why this service does not. */
export type Case = readonly [headers: Readonly<Record<string, string>>, expected: Expected, differs?: readonly [Expected, string]]

/** Bytes of the file that {@link CASES} are about. */
export const SIZE = 1_000

const ONE_RANGE = 'only single ranges are honoured, else it is the whole file (RFC 9110 §14.2 allows that)'
const NO_NUMBER = 'its numbers end at 2^63 - 1; a last position beyond the end is the end (RFC 9110 §14.1.2)'
const NO_DATE = 'what is no date is no condition (RFC 9110 §13.1.4)'
const ETAG_DECIDES = 'where the ETag is asked for the date is ignored (RFC 9110 §13.1.3, §13.1.4)'

/**
 * Requests and their answers: those of nginx 1.22 for a static file of these bytes and this date, but for what `differs`.
 * `{etag}`, `{date}`, `{rfc850}`, `{asctime}`, `{earlier}`, `{later}`, `{dayless}` stand for what the server itself says of its file.
 */
export const CASES: readonly Case[] = [
  [{}, 200],

  // Ranges.
  [{ range: 'bytes=0-0' }, [0, 0]],
  [{ range: 'bytes=0-9' }, [0, 9]],
  [{ range: 'bytes=100-199' }, [100, 199]],
  [{ range: 'bytes=999-999' }, [999, 999]],
  [{ range: 'bytes=0-' }, [0, 999]],
  [{ range: 'bytes=0-999' }, [0, 999]],
  [{ range: 'bytes=990-' }, [990, 999]],
  [{ range: 'bytes=999-' }, [999, 999]],
  [{ range: 'bytes=-1' }, [999, 999]],
  [{ range: 'bytes=-10' }, [990, 999]],
  [{ range: 'bytes=-1000' }, [0, 999]],
  [{ range: 'bytes=-5000' }, [0, 999]],
  [{ range: 'bytes=0-5000' }, [0, 999]],
  [{ range: 'bytes=990-1000' }, [990, 999]],
  [{ range: 'bytes=5-9223372036854775807' }, [5, 999]],
  [{ range: 'BYTES=5-6' }, [5, 6]],
  [{ range: 'bytes= 5 - 6 ' }, [5, 6]],
  [{ range: 'bytes=005-006' }, [5, 6]],

  // Ranges that the file does not have, and what is none.
  [{ range: 'bytes=1000-' }, 416],
  [{ range: 'bytes=1000-1001' }, 416],
  [{ range: 'bytes=5000-' }, 416],
  [{ range: 'bytes=-0' }, 416],
  [{ range: 'bytes=9-5' }, 416],
  [{ range: 'bytes=-' }, 416],
  [{ range: 'bytes=x' }, 416],
  [{ range: 'bytes=1-x' }, 416],
  [{ range: 'bytes=x-1' }, 416],
  [{ range: 'bytes=1' }, 416],
  [{ range: 'bytes=1-2-3' }, 416],
  [{ range: 'bytes=--1' }, 416],
  [{ range: 'bytes=1.5-2' }, 416],
  [{ range: 'bytes=0x1-2' }, 416],
  [{ range: 'bytes=+1-2' }, 416],
  [{ range: 'bytes=1-2;' }, 416],
  [{ range: 'bytes=0-99999999999999999999' }, 416],
  [{ range: 'bytes=99999999999999999999-' }, 416],
  [{ range: 'bytes=-99999999999999999999' }, 416],
  [{ range: 'bytes=0-9223372036854775808' }, [0, 999], [416, NO_NUMBER]],
  [{ range: 'bytes=' }, 200],
  [{ range: 'xbytes=0-9' }, 200],
  [{ range: 'bytes' }, 200],
  [{ range: 'bytes 0-9' }, 200],
  [{ range: '0-9' }, 200],
  [{ range: 'items=0-9' }, 200],
  [{ range: 'bytes =0-9' }, 200],

  // Several ranges.
  [{ range: 'bytes=0-9,20-29' }, 200, ['multipart', ONE_RANGE]],
  [{ range: 'bytes=0-9, -5' }, 200, ['multipart', ONE_RANGE]],
  [{ range: 'bytes=0-9,0-9' }, 200, ['multipart', ONE_RANGE]],
  [{ range: 'bytes=0-,0-' }, 200],
  [{ range: 'bytes=5-6,1000-' }, [5, 6]],
  [{ range: 'bytes=1000-,5-6' }, [5, 6]],
  [{ range: 'bytes=1000-,2000-' }, 416],
  [{ range: 'bytes=0-9,x' }, 416],
  [{ range: 'bytes=0-9,' }, 416],
  [{ range: 'bytes=,0-9' }, 416],
  [{ range: 'bytes=0-9,-' }, 416],
  [{ range: 'bytes=-,0-9' }, 416],

  // If-None-Match.
  [{ 'if-none-match': '{etag}' }, 304],
  [{ 'if-none-match': 'W/{etag}' }, 304],
  [{ 'if-none-match': '*' }, 304],
  [{ 'if-none-match': '"other", {etag}' }, 304],
  [{ 'if-none-match': '"other",W/{etag} , "third"' }, 304],
  [{ 'if-none-match': '"with, comma", {etag}' }, 304],
  [{ 'if-none-match': '"other"' }, 200],
  [{ 'if-none-match': 'W/"other"' }, 200],
  [{ 'if-none-match': 'nonsense' }, 200],
  [{ 'if-none-match': '"{etag}"' }, 200],
  [{ 'if-none-match': '{etag}x' }, 200],
  [{ 'if-none-match': '"*"' }, 200],

  // If-Modified-Since.
  [{ 'if-modified-since': '{date}' }, 304],
  [{ 'if-modified-since': '{rfc850}' }, 304],
  [{ 'if-modified-since': '{asctime}' }, 304],
  [{ 'if-modified-since': '{dayless}' }, 200],
  [{ 'if-modified-since': '{earlier}' }, 200],
  [{ 'if-modified-since': '{later}' }, 200],
  [{ 'if-modified-since': 'Fri, 31 Dec 2100 23:59:59 GMT' }, 200],
  [{ 'if-modified-since': 'yesterday' }, 200],
  [{ 'if-modified-since': '0' }, 200],

  // If-Match.
  [{ 'if-match': '{etag}' }, 200],
  [{ 'if-match': '*' }, 200],
  [{ 'if-match': '"other", {etag}' }, 200],
  [{ 'if-match': '"other"' }, 412],
  [{ 'if-match': 'W/{etag}' }, 412],
  [{ 'if-match': 'nonsense' }, 412],

  // If-Unmodified-Since.
  [{ 'if-unmodified-since': '{date}' }, 200],
  [{ 'if-unmodified-since': '{rfc850}' }, 200],
  [{ 'if-unmodified-since': '{asctime}' }, 200],
  [{ 'if-unmodified-since': '{later}' }, 200],
  [{ 'if-unmodified-since': 'Fri, 31 Dec 2100 23:59:59 GMT' }, 200],
  [{ 'if-unmodified-since': '{earlier}' }, 412],
  [{ 'if-unmodified-since': 'yesterday' }, 200, [412, NO_DATE]],
  [{ 'if-unmodified-since': '0' }, 200, [412, NO_DATE]],
  [{ 'if-unmodified-since': 'Thu, 32 Jan 1970 00:00:00 GMT' }, 200, [412, NO_DATE]],
  [{ 'if-unmodified-since': '1970-01-01T00:00:00Z' }, 200, [412, NO_DATE]],

  // If-Range.
  [{ range: 'bytes=5-6', 'if-range': '{etag}' }, [5, 6]],
  [{ range: 'bytes=5-6', 'if-range': '{date}' }, [5, 6]],
  [{ range: 'bytes=5-6', 'if-range': '{rfc850}' }, [5, 6]],
  [{ range: 'bytes=5-6', 'if-range': 'W/{etag}' }, 200],
  [{ range: 'bytes=5-6', 'if-range': '"other"' }, 200],
  [{ range: 'bytes=5-6', 'if-range': '{earlier}' }, 200],
  [{ range: 'bytes=5-6', 'if-range': '{later}' }, 200],
  [{ range: 'bytes=5-6', 'if-range': 'nonsense' }, 200],
  [{ range: 'bytes=5-6', 'if-range': '*' }, 200],
  [{ range: 'bytes=5-6', 'if-range': '"other", {etag}' }, 200],
  [{ range: 'bytes=1000-', 'if-range': '{etag}' }, 416],
  [{ range: 'bytes=1000-', 'if-range': '"other"' }, 200],
  [{ 'if-range': '{etag}' }, 200],
  [{ 'if-range': '"other"' }, 200],

  // Which of them decides.
  [{ 'if-none-match': '{etag}', 'if-modified-since': '{date}' }, 304],
  [{ 'if-none-match': '{etag}', 'if-modified-since': '{earlier}' }, 304, [200, ETAG_DECIDES]],
  [{ 'if-none-match': '"other"', 'if-modified-since': '{date}' }, 200],
  [{ 'if-match': '{etag}', 'if-unmodified-since': '{date}' }, 200],
  [{ 'if-match': '{etag}', 'if-unmodified-since': '{earlier}' }, 200, [412, ETAG_DECIDES]],
  [{ 'if-match': '"other"', 'if-unmodified-since': '{date}' }, 412],
  [{ 'if-match': '{etag}', 'if-none-match': '{etag}' }, 304],
  [{ 'if-match': '"other"', 'if-none-match': '{etag}' }, 412],
  [{ 'if-match': '{etag}', 'if-modified-since': '{date}' }, 304],
  [{ 'if-unmodified-since': '{earlier}', 'if-modified-since': '{date}' }, 412],
  [{ 'if-unmodified-since': '{date}', 'if-none-match': '{etag}' }, 304],
  [{ 'if-unmodified-since': '{date}', 'if-none-match': '"other"' }, 200],
  [{ range: 'bytes=5-6', 'if-none-match': '{etag}' }, 304],
  [{ range: 'bytes=5-6', 'if-none-match': '"other"' }, [5, 6]],
  [{ range: 'bytes=5-6', 'if-modified-since': '{date}' }, 304],
  [{ range: 'bytes=5-6', 'if-modified-since': '{earlier}' }, [5, 6]],
  [{ range: 'bytes=5-6', 'if-match': '{etag}' }, [5, 6]],
  [{ range: 'bytes=5-6', 'if-match': '"other"' }, 412],
  [{ range: 'bytes=5-6', 'if-unmodified-since': '{date}' }, [5, 6]],
  [{ range: 'bytes=5-6', 'if-unmodified-since': '{earlier}' }, 412],
  [{ range: 'bytes=1000-', 'if-none-match': '{etag}' }, 304],
  [{ range: 'bytes=1000-', 'if-match': '"other"' }, 412],
  [{ range: 'bytes=1000-', 'if-match': '{etag}' }, 416],
  [{ range: 'bytes=5-6', 'if-match': '{etag}', 'if-range': '"other"' }, 200],
  [{ range: 'bytes=5-6', 'if-match': '"other"', 'if-range': '{etag}' }, 412],
  [{ range: 'bytes=5-6', 'if-none-match': '{etag}', 'if-range': '{etag}' }, 304],
]

/** The same for a file without bytes. */
export const EMPTY_CASES: readonly Case[] = [
  [{}, 200],
  [{ range: 'bytes=0-' }, 200],
  [{ range: 'bytes=0-0' }, 200],
  [{ range: 'bytes=0-9' }, 200],
  [{ range: 'bytes=-1' }, 200],
  [{ range: 'bytes=-0' }, 200],
  [{ range: 'bytes=1-' }, 416],
  [{ range: 'bytes=1-2' }, 416],
  [{ range: 'bytes=1-2,0-' }, 200],
  [{ range: 'bytes=x' }, 416],
  [{ 'if-none-match': '{etag}' }, 304],
  [{ 'if-match': '"other"' }, 412],
  [{ 'if-modified-since': '{date}' }, 304],
]

/** The headers of a case, for a server that says this of its file. */
export function headersFor (headers: Readonly<Record<string, string>>, { etag, date }: Validators): Record<string, string> {
  const [day, number, month, year, time] = date.replace(',', '').split(' ') as [string, string, string, string, string]
  const shifted = (ms: number): string => new Date(Date.parse(date) + ms).toUTCString()
  const values: Record<string, string> = {
    etag,
    date,
    rfc850: `${LONG_DAYS[day]}, ${number}-${month}-${year.slice(2)} ${time} GMT`,
    asctime: `${day} ${month} ${number.replace(/^0/, ' ')} ${time} ${year}`,
    dayless: `${number} ${month} ${year} ${time} GMT`,
    earlier: shifted(-1_000),
    later: shifted(1_000),
  }
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.replaceAll(/\{(\w+)\}/g, (_, key: string) => values[key]!)]))
}

const LONG_DAYS: Record<string, string> = { Mon: 'Monday', Tue: 'Tuesday', Wed: 'Wednesday', Thu: 'Thursday', Fri: 'Friday', Sat: 'Saturday', Sun: 'Sunday' }
