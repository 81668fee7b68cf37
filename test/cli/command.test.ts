import t from 'tap'
import { run, serves, version } from '../support/service/command.ts'

// One process for each command; the other ways to write them are in the second tier.

t.test('fastify-b2-uploads runs the service until SIGTERM, and prints nothing on standard error', t => serves(t, []))

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
