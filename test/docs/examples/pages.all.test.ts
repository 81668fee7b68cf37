import { execFile, spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { transformSync } from 'esbuild'
import t from 'tap'
import { bundle } from '../../../scripts/bundle.ts'
import { mp3 } from '../../../scripts/samples/audio.ts'
import { codeIn, readDocument } from '../../support/docs/markdown.ts'
import { b2Env, bytes, post, put, sha256, startB2, startService } from '../../support/service/service.ts'

const NAME = '019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001.mp3'
const skip = spawnSync('curl', ['--version']).status === 0 ? false : 'there is no curl here'
const run = promisify(execFile)
const song = mp3({ title: 'Song' })
const README = readDocument('README.md')
const GUIDE = readDocument('docs/plugin.md')

/** All keys in a value, to any depth. */
function keysOf (value: unknown): unknown {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).map(([key, of]) => [key, keysOf(of)])) : '…'
}

t.test('the answers in README, and the error in the HTTP API, have the keys of real ones', async t => {
  const [stored, fallback, split] = codeIn(README, 'json').map(code => JSON.parse(code))
  const [error] = codeIn(readDocument('docs/http-api.md'), 'json').map(code => JSON.parse(code)).filter(({ error_code }) => error_code !== undefined)
  const b2 = await startB2(t)
  const env = { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', UPLOAD_MAX_BYTES: '1000000' }
  const { body } = await post(await startService(t, env), song, 'song.mp3', { before: { album_id: '42' } })
  t.same(keysOf(stored), keysOf(body))
  await b2.refuseConnections()
  // One that has no connection yet that could be reset.
  const service = await startService(t, env)
  const { track, ...rest } = (await put(service, song, 'song.mp3')).body
  t.match({ ...rest, location: '' }, { ...fallback, track: undefined, location: '' }, 'and the words of the reason')
  t.same(keysOf({ ...fallback, track: '…' }), keysOf({ ...rest, track: '…' }))
  const refused = (await put(service, bytes(1_000_001))).body
  await b2.acceptConnections()
  b2.fault({ operation: 'UploadPart', after: 1, status: 503, times: Infinity })
  const large = { ...b2Env(b2), B2_MAX_ATTEMPTS: '1', B2_PART_BYTES: '5242880', REPLAY_WINDOW_BYTES: '1048576' }
  const { status, body: inBoth } = await put(await startService(t, large), bytes(11_000_000), 'song.wav')
  t.equal(status, 202)
  t.same(keysOf({ ...split, track: '…' }), keysOf({ ...inBoth, track: '…' }))
  t.match(inBoth, { storage: 'split', location: /^tracks\/.*\.wav$/ })
  t.same(keysOf(error), keysOf(refused))
  t.match(refused, { error_code: error.error_code, error: error.error, hints: error.hints })
  t.equal(refused.detail.replace('1000001', '2147483648'), error.detail)
})

t.test('the commands of README that read and delete work as they stand', { skip }, async t => {
  const service = await startService(t, { ...b2Env(await startB2(t)), B2_STALL_TIMEOUT_MS: '10000' })
  const { body } = await put(service, song, 'song.mp3')
  const cwd = t.testdir()
  const [commands] = codeIn(README, 'sh').filter(code => code.includes('-X DELETE'))
  const [receipt, content, remove] = commands!.trim().split('\n').map(line => line.replace('http://127.0.0.1:3000', service.url).replace(NAME, body.track.key.split('/').at(-1)))
  const sh = async (command: string): Promise<string> => (await run('sh', ['-c', command.replace('curl', 'curl -sS --fail')], { cwd })).stdout
  t.same(JSON.parse(await sh(receipt!)), body)
  await sh(content!)
  t.equal(sha256(await readFile(join(cwd, 'song.mp3'))), sha256(song))
  await sh(remove!)
  await t.rejects(sh(receipt!), { code: 22 }, 'it is gone')
})

t.test('the example of the plugin guide with a host\'s records and metrics works as it stands', async t => {
  const b2 = await startB2(t)
  const [example] = codeIn(GUIDE, 'ts').filter(code => code.includes('prom-client'))
  const [imports, rest] = example!.split('\n\n') as [string, string]
  const cwd = t.testdir()
  await writeFile(join(cwd, 'example.mjs'), transformSync(`${imports.replace("'prom-client'", `'${import.meta.resolve('prom-client')}'`)}
import Fastify from '${import.meta.resolve('fastify')}'
import b2Uploads, { optionsFromEnv } from '${bundle('index.ts')}'
const app = Fastify()
const db = { insert: (...row) => console.log('insert', ...row), update: (...row) => console.log('update', ...row) }
${rest}
await app.listen({ port: 0 })
await fetch(\`\${app.listeningOrigin}/uploads/a.txt\`, { method: 'PUT', body: 'la' })
console.log((await register.getSingleMetricAsString('uploads_total')).split('\\n').find(line => line.includes('b2')))
await app.close()
`, { loader: 'ts' }).code)
  const { stdout } = await run(process.execPath, ['example.mjs'], { cwd, env: { ...process.env, ...b2Env(b2), LOCAL_STORAGE_DIR: join(cwd, 'storage') } })
  t.match(stdout, /^insert [0-9a-f-]{36} b2 tracks\//)
  t.match(stdout, /uploads_total\{.*storage="b2".*\} 1/)
})
