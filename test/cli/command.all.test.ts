import { join } from 'node:path'
import t from 'tap'
import { emptyDirectory } from '../support/promotion/promote-command.ts'
import { run, serves, version } from '../support/service/command.ts'

t.test('fastify-b2-uploads serve runs the service until SIGTERM, and prints nothing on standard error', t => serves(t, ['serve']))

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
