import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { mp3 } from '../../scripts/samples/audio.ts'
import { b2Hints, B2_ERROR_CODES } from '../../services/b2/error-codes.ts'
import { UPLOAD_ERROR_CODES, UploadError } from '../../services/upload-errors.ts'
import { outputOf, startDemo } from '../support/docs/demo.ts'
import { codeBlocks, quoted, tableRows } from '../support/docs/readme.ts'
import { b2Env, startB2 } from '../support/service/service.ts'

const HAS_CURL = spawnSync('curl', ['--version']).status === 0
const run = promisify(execFile)
const root = (path: string): string => new URL(`../../${path}`, import.meta.url).href

/** A directory with the file that the examples send. */
async function examplesDir (t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-docs-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await writeFile(join(dir, 'song.mp3'), mp3({ title: 'Song' }))
  return dir
}

t.test('README names every variable of .env.example with the same default, in the same order', async t => {
  const example = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8')
  // A variable that is commented out has no default; what stands there is an example.
  const expected = [...example.matchAll(/^(# )?([A-Z][A-Z0-9_]*)=(.*)$/gm)].map(([, unset, name, value]) => [name, unset === undefined ? value : ''])
  const rows = tableRows('variable', 'default', 'meaning')
  t.same(rows.map(([name, value]) => [quoted(name!)[0], quoted(value!)[0] ?? '']), expected)
})

t.test('README has every error code with its status', async t => {
  const rows = tableRows('status', '`error_code`', 'meaning', 'what to do')
  const documented = rows.map(([status, code]) => `${status} ${quoted(code!)[0]}`).sort()
  t.same(documented, UPLOAD_ERROR_CODES.map(code => `${new UploadError(code, '').statusCode} ${code}`).sort())
})

t.test('README has every code of B2, in the order of the source, and the variables that its hints name', async t => {
  const rows = tableRows('`error_code`', 'meaning', 'what to do')
  t.same(rows.map(([code]) => quoted(code!)[0]), B2_ERROR_CODES)
  const variables = new Set(tableRows('variable', 'default', 'meaning').map(([name]) => quoted(name!)[0]))
  for (const code of B2_ERROR_CODES) {
    for (const [name] of b2Hints(code).join(' ').matchAll(/\b[A-Z0-9]+(?:_[A-Z0-9]+)+\b/g)) t.ok(variables.has(name), `${name}, a hint of ${code}, is in README`)
  }
})

t.test('the uploads of README work as they stand', async t => {
  const cwd = await examplesDir(t)
  const demo = await startDemo(t)
  const here = (code: string): string => code.replaceAll('http://127.0.0.1:3000', demo.url)

  const curls = codeBlocks('sh').filter(code => /^curl .*song\.mp3/.test(code))
  t.equal(curls.length, 2)
  for (const code of HAS_CURL ? curls : []) {
    const { stdout } = await run('sh', ['-c', here(code)], { cwd })
    const { storage, track } = JSON.parse(stdout)
    t.match({ storage, track }, { storage: 'b2', track: { filename: 'song.mp3', audio: { title: 'Song' } } }, code)
  }

  const scripts = codeBlocks('js')
  t.equal(scripts.length, 1)
  for (const code of scripts) {
    const { stdout } = await run(process.execPath, ['--no-warnings', '--input-type=module', '--eval', here(code)], { cwd })
    t.match(stdout, /^201 /)
    t.match(stdout, /storage: 'b2'/)
    t.match(stdout, /metadata: \{ album_id: '42' \}/)
  }
})

t.test('the plugin example of README works as it stands', async t => {
  const cwd = await examplesDir(t)
  const b2 = await startB2(t)
  const [example] = codeBlocks('ts').filter(code => code.includes("from 'fastify'"))
  // The sources in place of the built package; Node resolves the rest from where the file lies.
  const code = example!.replace("'fastify-b2-uploads'", `'${root('index.ts')}'`).replace("'fastify'", `'${import.meta.resolve('fastify')}'`).replace('port: 3000', 'port: 0')
  await writeFile(join(cwd, 'example.mts'), code)
  const child = spawn(process.execPath, [`--import=${import.meta.resolve('tsx')}`, 'example.mts'], {
    cwd, env: { ...process.env, ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' }, stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const output = outputOf(child)
  await output.until(/"storage":"b2"/)
  const [, url] = await output.until(/Server listening at (http:[^"]+)/)
  t.equal(b2.objects().length, 1, 'the store itself')

  const response = await fetch(`${url}/media/uploads/song.mp3`, { method: 'PUT', body: 'la la la' })
  t.equal(response.status, 201)
  t.match(response.headers.get('location'), /^\/media\/uploads\/[0-9a-f-]{36}\.mp3$/)
  t.equal(b2.objects().length, 2, 'the route')
})

t.test('the emulator example of README works as it stands', async t => {
  const cwd = await examplesDir(t)
  const [example] = codeBlocks('ts').filter(code => code.includes('startB2Emulator'))
  await writeFile(join(cwd, 'example.mts'), example!.replace("'fastify-b2-uploads/emulator'", `'${root('emulator/index.ts')}'`))
  const { stdout } = await run(process.execPath, [`--import=${import.meta.resolve('tsx')}`, 'example.mts'], { cwd })
  t.match(stdout, /^http:\/\/127\.0\.0\.1:\d+ emulated-bucket/)
})
