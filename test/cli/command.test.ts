import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Test } from 'tap'
import { bundle } from '../../scripts/bundle.ts'
import { outputOf } from '../support/docs/demo.ts'
import { begin, emptyDirectory } from '../support/promotion/promote-command.ts'
import type { Ended, Running } from '../support/promotion/promote-command.ts'

// One process for each command; the other ways to write them are in the second tier.

const COMMAND = bundle('cli/command.ts')
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

const command = async (t: Test, args: string[], env: Record<string, string> = {}): Promise<Running> => await begin(t, process.execPath, [COMMAND, ...args], env)
const run = async (...how: Parameters<typeof command>): Promise<Ended> => await (await command(...how)).ended

t.test('fastify-b2-uploads runs the service until SIGTERM, and prints nothing on standard error', async t => {
  const { child, ended } = await command(t, [], {
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
  t.match(await run(t, ['promote', '--help']), { code: 0, stdout: /^Usage: fastify-b2-uploads promote \[options\]\n[^]*--retry-set-aside/, stderr: '' })
})

t.test('help and version go to standard output, whatever the environment', async t => {
  t.match(await run(t, ['--help'], { PORT: 'bad' }), { code: 0, stdout: /^Usage: fastify-b2-uploads \[command\]\n[^]* serve [^]* promote /, stderr: '' })
  t.same(await run(t, ['--version'], { PORT: 'bad' }), { code: 0, stdout: `${version}\n`, stderr: '' })
})

t.test('an unknown command is code 2, with one line that helps', async t => {
  t.same(await run(t, ['promte']), { code: 2, stdout: '', stderr: 'fastify-b2-uploads: there is no command promte; the commands are serve and promote. --help tells how it is used.\n' })
})
