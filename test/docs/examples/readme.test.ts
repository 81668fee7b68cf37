import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { transformSync } from 'esbuild'
import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator } from '../../../emulator/index.ts'
import { bundle } from '../../../scripts/bundle.ts'
import { mp3 } from '../../../scripts/samples/audio.ts'
import { outputOf } from '../../support/docs/demo.ts'
import { codeIn, readDocument } from '../../support/docs/markdown.ts'
import { b2Env, startB2, startService } from '../../support/service/service.ts'

const README = readDocument('README.md')
const GUIDE = readDocument('docs/plugin.md')
const HAS_CURL = spawnSync('curl', ['--version']).status === 0
const run = promisify(execFile)

/** A directory with the file that the examples send. */
async function examplesDir (t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-docs-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await writeFile(join(dir, 'song.mp3'), mp3({ title: 'Song' }))
  return dir
}

t.test('README is read in a minute', async t => {
  t.ok(README.split('\n').length <= 200)
})

t.test('all code of README and of the plugin guide is run by a test of this directory', async t => {
  const kinds = (page: string): string[] => [...page.matchAll(/^```(\w+)$/gm)].map(([, language]) => language!)
  t.same(kinds(README), ['sh', 'sh', 'ts', 'sh', 'sh', 'js', 'json', 'json', 'json', 'sh'])
  t.same(kinds(GUIDE), ['text', 'ts', 'ts', 'ts'])
})

t.test('the commands of README\'s first screen are scripts, and CI runs the same', async t => {
  const { scripts } = JSON.parse(readDocument('package.json'))
  const commands = codeIn(README, 'sh').map(code => code.trim()).filter(code => code.startsWith('npm'))
  t.same(commands, ['npm ci && npm run demo', 'npm ci && npm test'])
  t.ok(scripts.demo && scripts.test)
  const ci = readDocument('.ci/run')
  for (const command of commands[1]!.split(' && ')) t.match(ci, new RegExp(`^${command}\\b`, 'm'))
})

t.test('the uploads of README work as they stand', async t => {
  const cwd = await examplesDir(t)
  const service = await startService(t, { ...b2Env(await startB2(t)), B2_STALL_TIMEOUT_MS: '10000' })
  const here = (code: string): string => code.replaceAll('http://127.0.0.1:3000', service.url)

  const curls = codeIn(README, 'sh').filter(code => /^curl .*song\.mp3/.test(code))
  t.equal(curls.length, 2)
  for (const code of HAS_CURL ? curls : []) {
    const { stdout } = await run('sh', ['-c', here(code)], { cwd })
    const { storage, track } = JSON.parse(stdout)
    t.match({ storage, track }, { storage: 'b2', track: { filename: 'song.mp3', audio: { title: 'Song' } } }, code)
  }

  const scripts = codeIn(README, 'js')
  t.equal(scripts.length, 1)
  for (const code of scripts) {
    const { stdout } = await run(process.execPath, ['--no-warnings', '--input-type=module', '--eval', here(code)], { cwd })
    t.match(stdout, /^201 /)
    t.match(stdout, /storage: 'b2'/)
    t.match(stdout, /metadata: \{ album_id: '42' \}/)
  }
})

const withoutTypes = (code: string): string => transformSync(code, { loader: 'ts' }).code

/** Runs an example of the plugin against B2 in a process of its own, until the test ends. */
async function runExample (t: Test, example: string, b2: B2Emulator): Promise<ReturnType<typeof outputOf>> {
  const cwd = await examplesDir(t)
  // The sources in place of the built package; Node resolves the rest from where the file lies. It knows no types yet.
  const code = example.replace("'fastify-b2-uploads'", `'${bundle('index.ts')}'`).replace("'fastify'", `'${import.meta.resolve('fastify')}'`).replace('port: 3000', 'port: 0')
  await writeFile(join(cwd, 'example.mjs'), withoutTypes(code))
  const child = spawn(process.execPath, ['example.mjs'], {
    cwd, env: { ...process.env, ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' }, stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  return outputOf(child)
}

async function storesByRoute (t: Test, output: ReturnType<typeof outputOf>): Promise<void> {
  const [, url] = await output.until(/Server listening at (http:[^"]+)/)
  const response = await fetch(`${url}/media/uploads/song.mp3`, { method: 'PUT', body: 'la la la' })
  t.equal(response.status, 201)
  t.match(response.headers.get('location'), /^\/media\/uploads\/[0-9a-f-]{36}\.mp3$/)
}

t.test('the plugin example of README works as it stands, and has six lines', async t => {
  const b2 = await startB2(t)
  const [example] = codeIn(README, 'ts')
  t.equal(example!.trim().split('\n').length, 6)
  await storesByRoute(t, await runExample(t, example!, b2))
  t.equal(b2.objects().length, 1)
})

t.test('the first example of the plugin guide works as it stands', async t => {
  const b2 = await startB2(t)
  const [example] = codeIn(GUIDE, 'ts')
  const output = await runExample(t, example!, b2)
  await output.until(/"storage":"b2"/)
  t.equal(b2.objects().length, 1, 'the store itself')
  await storesByRoute(t, output)
  t.equal(b2.objects().length, 2, 'the route')
})

t.test('the emulator example of the plugin guide works as it stands', async t => {
  const cwd = await examplesDir(t)
  const [example] = codeIn(GUIDE, 'ts').filter(code => code.includes('startB2Emulator'))
  await writeFile(join(cwd, 'example.mjs'), withoutTypes(example!.replace("'fastify-b2-uploads/emulator'", `'${bundle('emulator/index.ts')}'`)))
  const { stdout } = await run(process.execPath, ['example.mjs'], { cwd })
  t.match(stdout, /^http:\/\/127\.0\.0\.1:\d+ emulated-bucket/)
})
