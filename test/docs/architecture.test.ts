import { existsSync, readdirSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { quoted, readDocument, rowsOf } from '../support/docs/markdown.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const page = readDocument('docs/architecture.md')
const layers = rowsOf(page, 'layer', 'holds', 'knows').map(([names, , knows]) => ({ names: quoted(names!), knows: knows! }))

function sourcesIn (name: string): string[] {
  if (!name.endsWith('/')) return [name]
  return readdirSync(join(ROOT, name), { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts')).map(file => join(name, file))
}

/** All that is built and run: what the layers hold, and the emulator. */
const SOURCES = ['services/', 'routes/', 'plugins/', 'cli/', 'emulator/'].flatMap(sourcesIn)
  .concat(readdirSync(ROOT).filter(file => file.endsWith('.ts')))

/** What a file imports, types included: paths of the project from its root, and packages. */
function importsOf (file: string): string[] {
  return [...readDocument(file).matchAll(/\b(?:from|import) ?\(?'([^']+)'/g)].map(([, from]) => from!.startsWith('.') ? normalize(join(dirname(file), from!)) : from!)
}

/** Files that import each other, directly or through others, each with the first one again at its end. */
function circles (files: readonly string[]): string[][] {
  const found: string[][] = []
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file])
    if (done.has(file) || path.includes(file) || !file.endsWith('.ts')) return
    for (const imported of importsOf(file)) visit(imported, [...path, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
  return found
}

const layerOf = (path: string): number => layers.findIndex(({ names }) => names.some(name => name.endsWith('/') ? path.startsWith(name) : path === name))

t.test('the files that the page names exist', async t => {
  const named = new Set(quoted(page.replace(/^```.*?^```$/gms, '')).filter(name => /^(?:[a-z0-9-]+\/)+$|^[a-z0-9/-]+\.ts$/.test(name)))
  t.ok(named.size > 30)
  for (const name of named) t.ok(existsSync(join(ROOT, name)), name)
})

t.test('no file imports itself, directly or through others, not even for a type', async t => {
  t.same(circles(SOURCES).map(files => files.join(' → ')), [])
})

t.test('a folder of sources has a dozen files at most', async t => {
  const counts = new Map<string, number>()
  for (const file of SOURCES) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1)
  t.ok(counts.size > 20)
  t.same([...counts].filter(([, count]) => count > 12), [])
})

t.test('each source is in a layer, and imports go down the layers, and never up', async t => {
  t.same(SOURCES.filter(file => layerOf(file) === -1 && !file.startsWith('emulator/')), [])
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
  t.same(sourcesIn('emulator/').filter(file => importsOf(file).some(path => layerOf(path) !== -1)), [])
  t.same(SOURCES.filter(file => importsOf(file).some(path => /^(?:test|demo|bench|scripts)\//.test(path) || (path.startsWith('emulator/') && !file.startsWith('emulator/')))), [])
})
