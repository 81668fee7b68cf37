/** A metric that an expression of Prometheus asks for. */
export interface Selector {
  readonly name: string
  /** What a label must be: one of these values. */
  readonly labels: ReadonlyMap<string, readonly string[]>
}

const SELECTOR = /(?<name>[a-zA-Z_:][\w:]*)\s*\{(?<matchers>[^}]*)\}/g
const MATCHER = /(?<label>\w+)\s*(?<operator>=~|!~|!=|=)\s*"(?<value>[^"]*)"/g
const GROUPING = /\b(?:by|without|on|ignoring)\s*\([^)]*\)/g
const RANGE = /\[[^\]]*\]/g
const WORD = /(?<!\w)[a-zA-Z_:][\w:]*/g

/** The metrics with selectors in an expression. Of its regular expressions only alternatives are understood. */
export function selectorsIn (expression: string): Selector[] {
  return [...expression.matchAll(SELECTOR)].map(({ groups }) => ({
    name: groups!['name']!,
    labels: new Map([...groups!['matchers']!.matchAll(MATCHER)].map(({ groups: matcher }) => [matcher!['label']!, matcher!['value']!.split('|')])),
  }))
}

/** Names that an expression has besides metrics with selectors, labels and ranges: functions, operators, recorded series. */
export function otherWordsIn (expression: string): string[] {
  const rest = expression.replace(SELECTOR, ' ').replace(RANGE, ' ').replace(GROUPING, ' ')
  return [...new Set(rest.match(WORD) ?? [])]
}
