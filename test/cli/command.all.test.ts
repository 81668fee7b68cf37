import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { bundle } from '../../scripts/bundle.ts'
import { outputOf } from '../support/docs/demo.ts'
import { begin, emptyDirectory } from '../support/promotion/promote-command.ts'
import type { Ended, Running } from '../support/promotion/promote-command.ts'

const COMMAND = bundle('cli/command.ts')
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

const command = async (t: Test, args: string[], env: Record<string, string> = {}): Promise<Running> => await begin(t, process.execPath, [COMMAND, ...args], env)
const run = async (...how: Parameters<typeof command>): Promise<Ended> => await (await command(...how)).ended

t.test('fastify-b2-uploads serve runs the service until SIGTERM, and prints nothing on standard error', async t => {
  const { child, ended } = await command(t, ['serve'], {
    PORT: '0',
    LOCAL_STORAGE_DIR: await emptyDirectory(t),
    B2_ENDPOINT: 'http://127.0.0.1:1',
    B2_REGION: 'here',
    B2_BUCKET: 'songs',
    B2_APPLICATION_KEY_ID: 'id-of-the-command-test',
    B2_APPLICATION_KEY: 'key-of-the-command-test',
  })
  const [, url] = await outputOf(child).until(/Server listening at (http:[^"]+)/)
  t.same(await (await fetch(`${url}/health`)).json(), { status: 'ok' })
  child.kill('SIGTERM')
  t.match(await ended, { code: 0, stderr: '' })
})

t.test('promote takes its own options', async t => {
  t.match(await run(t, ['promote', '--frobnicate']), { code: 2, stdout: '', stderr: /--frobnicate/ })
  const dir = join(await emptyDirectory(t), 'missing')
  const env = { B2_ENDPOINT: 'https://s3.us-west-004.backblazeb2.com', B2_BUCKET: 'songs', B2_APPLICATION_KEY_ID: 'id-of-the-command-test', B2_APPLICATION_KEY: 'key-of-the-command-test', LOCAL_STORAGE_DIR: dir }
  t.match(await run(t, ['promote', '--dry-run', '--json'], env), { code: 0, stdout: '{"files":[],"promoted":0', stderr: `There is no directory ${dir}.` })
})

t.test('help and version go to standard output, whatever the environment', async t => {
  for (const args of [['-h'], ['serve', '--help']]) {
    t.match(await run(t, args, { PORT: 'bad' }), { code: 0, stdout: /^Usage: fastify-b2-uploads \[command\]\n[^]* serve [^]* promote /, stderr: '' })
  }
  t.same(await run(t, ['-v'], { PORT: 'bad' }), { code: 0, stdout: `${version}\n`, stderr: '' })
})

t.test('an unknown command is code 2, with one line that helps', async t => {
  for (const [args, fault] of [[['--dry-run'], 'there is no command --dry-run'], [['serve', '--port=1'], 'serve takes no options']] as const) {
    t.same(await run(t, [...args]), { code: 2, stdout: '', stderr: `fastify-b2-uploads: ${fault}; the commands are serve and promote. --help tells how it is used.\n` })
  }
})
