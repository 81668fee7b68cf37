import { execFileSync } from 'node:child_process'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { rollup } from 'rollup'
import { dts } from 'rollup-plugin-dts'

const root = fileURLToPath(new URL('../', import.meta.url))
const dist = join(root, 'dist')
const entries = ['index', 'emulator/index']
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')

// What was deleted from the sources must not live on in the package.
rmSync(dist, { recursive: true, force: true })
execFileSync(process.execPath, [compiler, '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' })

// Of the declarations only what is public, each entry's in one file: the inside is nobody's to build on, and its private
// fields would ask for settings of the adopter's compiler.
const declarations = new Map()
for (const entry of entries) {
  const bundle = await rollup({
    input: join(dist, `${entry}.d.ts`),
    external: id => !/^[./]/.test(id),
    plugins: [dts()],
  })
  const { output: [{ code }] } = await bundle.generate({})
  await bundle.close()
  declarations.set(`${entry}.d.ts`, code)
  declarations.set(`${entry}.d.cts`, code)
}
for (const file of readdirSync(dist, { recursive: true })) if (file.endsWith('.d.ts')) rmSync(join(dist, file))
for (const [file, code] of declarations) writeFileSync(join(dist, file), code)

// The same modules for those who require; Node.js can load them so since 20.19. With names that tools can see.
for (const entry of entries) {
  const names = Object.keys(await import(pathToFileURL(join(dist, `${entry}.js`)).href))
  writeFileSync(join(dist, `${entry}.cjs`), [
    "const entry = require('./index.js')",
    "Object.defineProperty(exports, '__esModule', { value: true })",
    ...names.map(name => `exports.${name} = entry.${name}`),
    '',
  ].join('\n'))
}
