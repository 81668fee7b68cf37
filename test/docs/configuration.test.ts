import t from 'tap'
import { b2Hints, B2_ERROR_CODES } from '../../services/b2/error-codes.ts'
import { ConfigSchema } from '../../services/config/schema.ts'
import { quoted, readDocument, tablesOf } from '../support/docs/markdown.ts'

const MAX_TIMER_MS = 2_147_483_647

interface Property { unit?: string, minimum?: number, maximum?: number, default?: unknown, anyOf?: (Property & { const?: unknown })[] }

const properties = Object.entries(ConfigSchema.properties) as [string, Property][]
const rows = tablesOf(readDocument('docs/configuration.md'), 'variable', 'default', 'range', 'meaning')

/** A range as the page writes it. The page says of all times at once how long they may be. */
function rangeOf ({ unit, minimum, maximum, anyOf }: Property): string {
  const inner = anyOf?.find(each => each.minimum !== undefined)
  if (inner !== undefined) return `0 or ${rangeOf(inner)}`
  if (minimum === undefined) return ''
  const isOpen = maximum === Number.MAX_SAFE_INTEGER || (unit === 'milliseconds' && maximum === MAX_TIMER_MS)
  return isOpen ? `≥ ${minimum}` : `${minimum} to ${maximum}`
}

t.test('the page has every variable with its default and its range, in the order of the schema', async t => {
  for (const [name, , , meaning] of rows) t.match(meaning, /\w/, name!)
  const ofPage = rows.map(([name, value, range]) => [quoted(name!)[0], quoted(value!)[0] ?? '', range])
  t.same(ofPage, properties.map(([name, property]) => [name, [property.default ?? ''].flat().join(), rangeOf(property)]))
})

t.test('.env.example has the same variables, with the same defaults, in the same order', async t => {
  // A variable that is commented out has no default: what stands there is an example.
  const ofExample = [...readDocument('.env.example').matchAll(/^(# )?([A-Z][A-Z0-9_]*)=(.*)$/gm)].map(([, unset, name, value]) => [name, unset === undefined ? value : ''])
  t.same(ofExample, rows.map(([name, value]) => [quoted(name!)[0], quoted(value!)[0] ?? '']))
})

t.test('the page has the variables that hints of B2\'s failures name', async t => {
  const documented = new Set(rows.map(([name]) => quoted(name!)[0]))
  for (const code of B2_ERROR_CODES) {
    for (const [name] of b2Hints(code).join(' ').matchAll(/\b[A-Z0-9]+(?:_[A-Z0-9]+)+\b/g)) t.ok(documented.has(name), `${name}, in a hint of ${code}`)
  }
})
