import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

// What would be published: all that is needed, nothing that is not.
const output = readFileSync(process.argv[2], 'utf8')
const [{ files, name }] = JSON.parse(output.slice(output.indexOf('[')))
const paths = files.map(({ path }) => path)
for (const needed of [
  'package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'openapi.json', '.env.example',
  'dist/index.js', 'dist/index.cjs', 'dist/index.d.ts', 'dist/index.d.cts', 'dist/server.js', 'dist/cli/command.js', 'dist/cli/promote.js',
  'dist/emulator/index.js', 'dist/emulator/index.cjs', 'dist/emulator/index.d.ts', 'dist/emulator/index.d.cts',
]) assert.ok(paths.includes(needed), `${needed} is not in the package`)
const allowed = /^(dist\/.+\.(js|cjs|d\.c?ts|js\.map)|package\.json|openapi\.json|README\.md|LICENSE|CHANGELOG\.md|\.env\.example)$/
assert.deepEqual(paths.filter(path => !allowed.test(path)), [], 'these do not belong in the package')
assert.deepEqual(paths.filter(path => /^dist\/(test|scripts)\//.test(path)), [], 'these do not belong in the package')

// Both ways in, by the package's own name.
const require = createRequire(import.meta.url)
for (const load of [path => import(path), async path => require(path)]) {
  const main = await load(name)
  assert.equal(typeof main.default, 'function')
  assert.equal(typeof main.optionsFromEnv, 'function')
  assert.equal(typeof (await load(`${name}/emulator`)).startB2Emulator, 'function')
}
console.log(`${paths.length} files; import and require work`)
