import { execFile } from 'node:child_process'
import { cp, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { createClient } from '@hey-api/openapi-ts'
import { bytes, b2Env, sha256, startB2, startService } from '../../support/service/service.ts'

const root = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url))
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')
const KEY = 'a-key-that-is-long-enough'
const PART = 5_242_880 // 5 MiB

async function run (...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', ...args]).catch((error: Error & { stdout: string, stderr: string }) => {
    throw new Error(`${args.join(' ')}\n${error.stdout}${error.stderr}`)
  })
  return stdout
}

/** Checks the programs' types strictly. */
async function check (...programs: string[]): Promise<void> {
  await run(compiler, ...programs, '--noEmit', '--strict', '--skipLibCheck', 'false', '--module', 'esnext',
    '--moduleResolution', 'bundler', '--allowImportingTsExtensions', '--target', 'es2022', '--types', 'node')
}

t.test('the clients of two generators do the same, whatever B2 does', async t => {
  const b2 = await startB2(t)
  const env = { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_MAX_ATTEMPTS: '1', BREAKER_THRESHOLD: '0', API_KEYS: KEY }
  const { url } = await startService(t, { ...env, B2_PART_BYTES: String(PART), REPLAY_WINDOW_BYTES: '1048576', UPLOAD_MAX_BYTES: String(2 * PART) })
  const dir = t.testdir()
  await writeFile(join(dir, 'package.json'), '{ "type": "module" }')
  const upload = join(dir, 'upload.ts')
  await cp(root('examples/generated-client'), dir, { recursive: true })
  await run(root('examples/generated-client/generate.mjs'), `${url}/documentation/json`, join(dir, 'schema.d.ts'))
  const wholeClient = join(dir, 'whole-client.ts')
  await cp(root('test/fixtures/whole-client.ts'), wholeClient)
  await createClient({ input: root('openapi.json'), output: join(dir, 'client'), logs: { level: 'silent' } })
  await check(upload, wholeClient)

  await t.test('openapi-typescript and openapi-fetch: the example uploads, asks and reads', async t => {
    const content = bytes(50_000)
    const song = join(dir, 'song.mp3')
    await writeFile(song, content)
    const lines = `50000 bytes, sha256 ${sha256(content)}\nread 50000 bytes\n`
    t.match(await run('--import=tsx', upload, song, url, KEY), new RegExp(`^in B2: tracks/.+\n${lines}$`))
    const down = b2.fault({ status: 503, times: Infinity })
    t.match(await run('--import=tsx', upload, song, url, KEY), new RegExp(`^in local storage: .+ \\(service_unavailable\\)\n${lines}$`))
    down.cancel()
    await writeFile(song, bytes(PART + 1_000))
    const late = b2.fault({ operation: 'CompleteMultipartUpload', status: 503, times: Infinity })
    t.match(await run('--import=tsx', upload, song, url, KEY),
      /^5243880 bytes in B2, 0 in local storage \(service_unavailable\)\n5243880 bytes, sha256 \w+\nnot yet: B2 has 5243880 bytes of it, and the other 0 .+\n$/)
    late.cancel()
    await t.rejects(run('--import=tsx', upload, song, url, 'a-wrong-key-that-is-long-enough'), /unauthorized: /)
    await writeFile(song, bytes(2 * PART + 1))
    await t.rejects(run('--import=tsx', upload, song, url, KEY), /file_too_large: /)
  })

  await t.test('@hey-api/openapi-ts: so does a whole client', async t => {
    t.equal(await run('--import=tsx', wholeClient, url, KEY), 'b2: ok\n')
    b2.fault({ status: 503, times: Infinity })
    t.equal(await run('--import=tsx', wholeClient, url, KEY), 'local, service_unavailable: ok\n')
  })
})
