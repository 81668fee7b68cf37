import { existsSync, readdirSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { readDocument, rowsOf } from '../support/markdown.ts'
import { quoted } from '../support/readme.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const page = readDocument('docs/architecture.md')
const layers = rowsOf(page, 'layer', 'holds', 'knows').map(([names, , knows]) => ({ names: quoted(names!), knows: knows! }))

function sourcesIn (name: string): string[] {
  if (!name.endsWith('/')) return [name]
  return readdirSync(join(ROOT, name), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts')).map(file => join(name, file))
}

/** What a file imports: paths of the project from its root, and packages. */
function importsOf (file: string): string[] {
  return [...readDocument(file).matchAll(/from '([^']+)'/g)].map(([, from]) => from!.startsWith('.') ? normalize(join(dirname(file), from!)) : from!)
}

const layerOf = (path: string): number => layers.findIndex(({ names }) => names.some(name => name.endsWith('/') ? path.startsWith(name) : path === name))

t.test('the files that the page names exist', async t => {
  const named = new Set(quoted(page.replace(/^```.*?^```$/gms, '')).filter(name => /^(?:[a-z0-9-]+\/)+$|^[a-z0-9/-]+\.ts$/.test(name)))
  t.ok(named.size > 30)
  for (const name of named) t.ok(existsSync(join(ROOT, name)), name)
})

t.test('imports go down the layers, and never up', async t => {
  const upwards: string[] = []
  for (const [layer, { names }] of layers.entries()) {
    for (const file of names.flatMap(sourcesIn)) {
      for (const path of importsOf(file)) if (layerOf(path) !== -1 && layerOf(path) < layer) upwards.push(`${file} imports ${path}`)
    }
  }
  t.same(upwards, [])
})

t.test('services know neither Fastify nor the environment, and the SDK is known in services/b2 alone', async t => {
  const strangers: string[] = []
  for (const { names, knows } of layers) {
    for (const file of names.flatMap(sourcesIn)) {
      const packages = importsOf(file)
      if (knows.startsWith('neither') && packages.some(name => /fastify/.test(name))) strangers.push(`${file}: fastify`)
      if (knows.startsWith('neither') && /^(?! *(?:\/\/|\/?\*)).*process\.env/m.test(readDocument(file))) strangers.push(`${file}: the environment`)
      if (!file.startsWith('services/b2/') && packages.some(name => name.startsWith('@aws-sdk/'))) strangers.push(`${file}: the SDK`)
    }
  }
  t.same(strangers, [])
  t.same(sourcesIn('emulator/').filter(file => importsOf(file).some(path => /^(?:services|routes|plugins)\//.test(path))), [])
})

t.test('each directory with tests is an area that is run', async t => {
  const tests = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.test.ts'))
  const directories = new Set(tests.filter(file => file.includes('/')).map(file => dirname(file)))
  const areas = tests.filter(file => !file.includes('/')).map(file => /runArea\('(.+)'\)/.exec(readDocument(`test/${file}`))?.[1])
  t.strictSame(new Set(areas), directories)
})
