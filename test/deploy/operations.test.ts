import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { B2_ERROR_CODES } from '../../services/b2/error-codes.ts'
import { ConfigSchema } from '../../services/config/schema.ts'
import { linksOf, quoted, readDocument, rowsOf, sectionsOf } from '../support/docs/markdown.ts'
import { scrape } from '../support/service/metrics.ts'
import { selectorsIn } from '../support/deploy/promql.ts'
import { b2Env, startB2, startService } from '../support/service/service.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGE = 'docs/operations.md'
const page = readDocument(PAGE)

t.test('the table of metrics has each that the service adds to prom-client\'s own, with its type and labels', async t => {
  const { text, samples } = await scrape(await startService(t, b2Env(await startB2(t))))
  const expected = [...text.matchAll(/^# TYPE (?!process_|nodejs_)(\w+) (\w+)$/gm)].map(([, name, type]) => {
    const labels = [...samples.keys()].filter(sample => new RegExp(`^${name}(_bucket)?{`).test(sample)).flatMap(sample => [...selectorsIn(sample)[0]!.labels.keys()])
    return [name, type, ...new Set(labels.filter(label => label !== 'le'))]
  })
  const rows = rowsOf(page, 'metric', 'type', 'labels', '')
  t.same(rows.map(([name, type, labels]) => [...quoted(name!), type, ...quoted(labels!)]).sort(), expected.sort())
})

t.test('the table of events has each that the sources log', async t => {
  const sources = ['services', 'routes', 'plugins'].flatMap(dir => readdirSync(join(ROOT, dir), { recursive: true, encoding: 'utf8' }).map(file => join(dir, file)))
  const logged = new Set<string>()
  // Of the configuration, such names are options.
  for (const file of [...sources, 'app.ts', 'server.ts'].filter(file => file.endsWith('.ts') && !file.startsWith(join('services', 'config')))) {
    for (const [, event] of readFileSync(join(ROOT, file), 'utf8').matchAll(/['`]((?:b2|breaker|file|hook|promotion|read|remove|service|upload)\.(?:[a-z_]+|\${state}))['`]/g)) {
      for (const state of ['closed', 'half_open', 'open']) logged.add(event!.replace('${state}', state)) // eslint-disable-line no-template-curly-in-string -- of the sources
    }
  }
  t.ok(logged.size > 20)
  t.same(rowsOf(page, '`event`', 'level', '').flatMap(([events]) => quoted(events!)).sort(), [...logged].sort())
})

t.test('the table of reasons has every code of B2, in the order of the source', async t => {
  t.same(rowsOf(page, '`error_code`', 'meaning', 'what to do').map(([code]) => quoted(code!)[0]), B2_ERROR_CODES)
})

t.test('the variables, scripts, options, files and sections that the page names exist', async t => {
  for (const name of new Set(page.match(/\b(?:[A-Z][A-Z0-9]*_)+[A-Z0-9]+\b/g))) t.ok(name in ConfigSchema.properties, name)
  const { scripts } = JSON.parse(readDocument('package.json'))
  for (const [, script] of page.matchAll(/npm run ([\w-]+)/g)) t.ok(scripts[script!], `npm run ${script}`)
  const help = readDocument('cli/promote.ts')
  for (const [, option] of page.matchAll(/(?:npm run promote -- |promote\.js |`)(--[\w-]+)/g)) {
    if (option !== '--duration') t.match(help, `  ${option} `, `${option} is an option of promote`)
  }
  for (const { path, anchor } of linksOf(page)) {
    const file = path === '' ? PAGE : join(dirname(PAGE), path)
    t.ok(existsSync(join(ROOT, file)), file)
    if (anchor !== undefined) t.ok(sectionsOf(readDocument(file)).some(section => section.anchor === anchor), `${file}#${anchor}`)
  }
})
