import type { Track } from '../../services/receipt.ts'

/** What tells one content of a file from another. */
interface Validators {
  /** A strong one, in quotes. */
  readonly etag: string
  /** Milliseconds since 1970, whole seconds: HTTP's dates have no more. */
  readonly modifiedAt: number
}

export function validatorsOf ({ sha256, uploaded_at: uploadedAt }: Track): Validators {
  return { etag: `"${sha256}"`, modifiedAt: Math.floor(Date.parse(uploadedAt) / 1_000) * 1_000 }
}

/** The headers of a conditional request. */
type Conditions = Partial<Record<'if-match' | 'if-none-match' | 'if-modified-since' | 'if-unmodified-since' | 'if-range', string | undefined>>

/**
 * What the conditions of a request come to: `failed` is 412, `not_modified` 304. As in nginx for a static file,
 * `If-Modified-Since` has to be exactly the file's date; but dates are ignored if ETags are given (RFC 9110 §13.2.2).
 */
export function checkConditions (conditions: Conditions, validators: Validators): 'met' | 'not_modified' | 'failed' {
  const { 'if-none-match': noneMatch, 'if-modified-since': modified } = conditions
  const { etag, modifiedAt } = validators
  if (!isAsDemanded(conditions, validators)) return 'failed'
  const isKnown = noneMatch === undefined
    ? modified !== undefined && httpDate(modified) === modifiedAt
    : names(noneMatch, etag, true)
  return isKnown ? 'not_modified' : 'met'
}

/**
 * Whether the conditions of a request that changes something allow it (RFC 9110 §13.1); `If-Modified-Since` does not count for these.
 *
 * @param validators of what is at its target now; undefined: nothing is
 */
export function allowsChange (conditions: Conditions, validators: Validators | undefined): boolean {
  const { 'if-match': match, 'if-none-match': noneMatch } = conditions
  if (validators === undefined) return match === undefined
  return isAsDemanded(conditions, validators) && (noneMatch === undefined || !names(noneMatch, validators.etag, true))
}

/** What `If-Match` demands, else `If-Unmodified-Since`, which doesn't count if it is no date (RFC 9110 §13.1.4). */
function isAsDemanded ({ 'if-match': match, 'if-unmodified-since': unmodified }: Conditions, { etag, modifiedAt }: Validators): boolean {
  if (match !== undefined) return names(match, etag)
  return unmodified === undefined || !(httpDate(unmodified) < modifiedAt)
}

/** Whether a range may be served: the client's part of the file, if it says which one it has, is of this content. */
export function allowsRange ({ 'if-range': condition }: Conditions, { etag, modifiedAt }: Validators): boolean {
  if (condition === undefined) return true
  return condition.endsWith('"') ? condition === etag : httpDate(condition) === modifiedAt
}

/**
 * Whether a list of ETags has this one. A comma within another one splits it in two, of which neither is this one.
 *
 * @param isWeak whether weak ones count, too (RFC 9110 §8.8.3.2)
 */
function names (list: string, etag: string, isWeak = false): boolean {
  return list === '*' || list.split(',').map(tag => tag.trim()).some(tag => tag === etag || (isWeak && tag === `W/${etag}`))
}

const TIME = String.raw`\d\d:\d\d:\d\d`
const HTTP_DATE = new RegExp(`^(?:[A-Z][a-z]{2}, \\d\\d [A-Z][a-z]{2} \\d{4} ${TIME} GMT|[A-Z][a-z]+day, \\d\\d-[A-Z][a-z]{2}-\\d\\d ${TIME} GMT|` +
  `[A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]\\d ${TIME} \\d{4})$`)

/** Any of the three forms of RFC 9110 §5.6.7; NaN for anything else, which equals no file's date. */
function httpDate (text: string): number {
  if (!HTTP_DATE.test(text)) return NaN
  const time = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`)
  // Of 30 February it makes a day in March.
  return new Date(time).getUTCDate() === Number(/\d+/.exec(text)![0]) ? time : NaN
}
