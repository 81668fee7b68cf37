import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ConfigSchema } from '../../services/config/schema.ts'
import { codeIn, linksOf, readDocument, sectionsOf } from '../support/docs/markdown.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', ...readdirSync(join(ROOT, 'docs')).filter(name => name.endsWith('.md')).sort().map(name => `docs/${name}`)]
const { scripts } = JSON.parse(readDocument('package.json'))

/** As links name them: a title that comes again has a number. */
function anchorsOf (page: string): Set<string> {
  const anchors = new Set<string>()
  for (const { anchor } of sectionsOf(readDocument(page))) {
    let free = anchor
    for (let count = 1; anchors.has(free); count++) free = `${anchor}-${count}`
    anchors.add(free)
  }
  return anchors
}

for (const page of PAGES) {
  t.test(`${page}: its links lead somewhere, and the scripts that it names exist`, async t => {
    const text = readDocument(page)
    const broken = linksOf(text).filter(({ path, anchor }) => {
      const file = path === '' ? page : join(dirname(page), path)
      return !existsSync(join(ROOT, file)) || (anchor !== undefined && file.endsWith('.md') && !anchorsOf(file).has(anchor))
    })
    t.same(broken, [])
    t.notMatch(text, /^(?:<{7}|>{7}) /m, 'it has no marks of a merge')
    const named = [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, script]) => script!)
    t.same(named.filter(script => scripts[script] === undefined), [])
  })
}

t.test('every page of docs can be found from README or from one that it links', async t => {
  const found = new Set(['README.md'])
  for (const page of found) {
    for (const { path } of linksOf(readDocument(page))) {
      const file = join(dirname(page), path)
      if (path.endsWith('.md') && existsSync(join(ROOT, file))) found.add(file)
    }
  }
  t.same(PAGES.filter(page => !found.has(page)), [])
})

t.test('the variables that the pages name exist', async t => {
  // Other names in capitals are somebody else's.
  const begins = new Set(Object.keys(ConfigSchema.properties).map(name => name.split('_', 1)[0]))
  for (const page of ['docs/architecture.md', 'docs/comparison.md', 'docs/http-api.md', 'docs/migrating-from-multer-s3.md', 'SECURITY.md']) {
    const names = readDocument(page).match(/\b(?:[A-Z][A-Z0-9]*_)+[A-Z0-9]+\b/g) ?? []
    t.same(names.filter(name => begins.has(name.split('_', 1)[0]) && !(name in ConfigSchema.properties)), [], page)
  }
})

t.test('CONTRIBUTING breaks and mends B2 as the demo itself says', async t => {
  const commands = (text: string): string[] => Array.from(text.matchAll(/curl -X POST \S+?(\/demo\/\S+)/g), ([, path]) => path!)
  t.ok(commands(readDocument('scripts/demo.ts')).length > 0)
  t.same(commands(readDocument('CONTRIBUTING.md')), commands(readDocument('scripts/demo.ts')))
})

t.test('the example of CONTRIBUTING works as it stands', async t => {
  const [example] = codeIn(readDocument('CONTRIBUTING.md'), 'ts')
  const source = example!.replace("'fastify-b2-uploads/emulator'", `'${new URL('../../emulator/index.ts', import.meta.url).href}'`)
  const dir = t.testdir({ 'example.mts': source })
  await t.resolves(import(join(dir, 'example.mts')))
})
