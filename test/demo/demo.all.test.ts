import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { startDemo } from '../support/docs/demo.ts'

const HAS_CURL = spawnSync('curl', ['--version']).status === 0
if (!HAS_CURL) t.comment('curl is missing here: its commands are carried out with fetch')

/** Does what a printed curl command says. */
async function carryOut (command: string): Promise<any> {
  if (HAS_CURL) {
    const { stdout } = await promisify(execFile)('sh', ['-c', `exec ${command} --no-progress-meter`])
    return JSON.parse(stdout)
  }
  const url = command.split(' ').at(-1)!
  const path = /file=@"?([^"' ]+)/.exec(command)?.[1]
  const body = new FormData()
  if (path !== undefined) body.append('file', new Blob([await readFile(path)]), basename(path))
  const response = await fetch(url, { method: 'POST', ...(path === undefined ? {} : { body }) })
  return await response.json()
}

/** A directory for the demo's temporary files alone. */
async function ownTmp (t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-test-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  return dir
}

const demoFiles = async (dir: string): Promise<string[]> => (await readdir(dir)).filter(name => name.includes('demo'))

t.test('the printed commands upload to B2, break it, fall back, mend it, and upload to B2 again, where the other file is moved, too', async t => {
  const tmp = await ownTmp(t)
  const demo = await startDemo(t, { TMPDIR: tmp })
  const [upload, breakB2, mendB2] = demo.commands
  t.equal(demo.commands.length, 3)

  const first = await carryOut(upload!)
  t.equal(first.storage, 'b2')
  t.equal(first.track.filename, 'sample-track.wav')
  t.equal(first.track.audio.title, 'Pentatonic Morning')

  await carryOut(breakB2!)
  const second = await carryOut(upload!)
  t.equal(second.storage, 'local')
  t.equal(second.fallback_reason.error_code, 'network_error')
  t.equal(second.track.sha256, first.track.sha256)

  await carryOut(mendB2!)
  t.equal((await carryOut(upload!)).storage, 'b2')
  const url = `${demo.url}/uploads/${basename(second.location)}`
  const whereabouts = async (): Promise<string> => (await (await fetch(url)).json() as { storage: string }).storage
  while (await whereabouts() !== 'b2') await sleep(100) // another process has no event to wait for

  t.equal((await demoFiles(tmp)).length, 1)
  t.equal(await demo.end('SIGINT'), 0)
  t.same(await demoFiles(tmp), [])
})

t.test('takes a free port where the wanted one is taken, and a temporary directory with a space in its name', async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => { taken.close() })
  const { port } = taken.address() as AddressInfo
  const tmp = await mkdtemp(join(await ownTmp(t), 'two words '))
  const demo = await startDemo(t, { PORT: String(port), TMPDIR: tmp })
  t.not(new URL(demo.url).port, String(port))
  if (HAS_CURL) t.equal((await carryOut(demo.commands[0]!)).storage, 'b2')
  t.equal(await demo.end('SIGTERM'), 0)
  t.same(await demoFiles(tmp), [])
})

t.test('uses neither this shell\'s bucket nor its local directory', async t => {
  const demo = await startDemo(t, {
    TMPDIR: await ownTmp(t), B2_ENDPOINT: 'http://127.0.0.1:9', B2_BUCKET: 'precious', LOCAL_STORAGE_DIR: '/nowhere', ENV: 'production',
  })
  const response = await fetch(`${demo.url}/uploads/song.mp3`, { method: 'PUT', body: 'la la la' })
  t.equal((await response.json() as { storage: string }).storage, 'b2')
  t.equal(await demo.end('SIGINT'), 0)
})
