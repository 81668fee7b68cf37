import { spawnSync } from 'node:child_process'
import t from 'tap'
import { isPromoted, KIB, MIB } from '../support/promotion/promotion.ts'
import { begin, program, setCommandStage } from '../support/promotion/promote-command.ts'
import { framesIn, hasOthers } from '../support/promotion/terminal.ts'

// That of util-linux, which knows these options.
const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') === true

t.test('in a real terminal of 40 columns', { skip: hasScript ? false : 'script of util-linux is needed' }, async t => {
  const stage = await setCommandStage(t)
  const stored = [await stage.fallBack(12 * MIB), await stage.fallBack(KIB)]
  const command = [process.execPath, program()].map(word => `'${word}'`).join(' ')
  const inTerminal = async (args: string, env: Record<string, string> = {}) => {
    const running = await begin(t, 'script', ['-qec', `stty cols 40 rows 10; exec ${command} ${args}`, '/dev/null'], { ...stage.env, TERM: 'xterm', SHELL: '/bin/sh', ...env })
    return await running.ended
  }

  await t.test('a dry run lists the files', async t => {
    const { code, stdout } = await inTerminal('--dry-run', { NO_COLOR: '1' })
    t.equal(code, 0)
    t.notOk(hasOthers(stdout))
    for (const { key } of stored) t.match(stdout, `to be promoted ${key} `)
  })

  await t.test('--json prints the object alone', async t => {
    const { code, stdout } = await inTerminal('--json --dry-run')
    t.equal(code, 0)
    t.match(JSON.parse(stdout), { pending: 2 })
  })

  await t.test('the bar is drawn in one line, without color, and the exit code is right', async t => {
    const { code, stdout } = await inTerminal('')
    t.equal(code, 0)
    t.notOk(hasOthers(stdout))
    const frames = framesIn(stdout)
    t.ok(frames.filter(frame => /^\[=* *\] [012]\/2/.test(frame)).length > 4, 'for the files, and for the parts of the large one')
    for (const frame of frames.slice(0, -1)) t.ok(frame.length < 40)
    t.equal(stdout.split('\n').length, 2, 'no line stays but the result')
    t.match(frames.at(-1), `2 promoted (${12 * MIB + KIB} bytes); none left in`)
    await isPromoted(t, stage.b2, stage.service, stored)
  })

  await t.test('a dumb one gets lines', async t => {
    stored.push(await stage.fallBack(KIB))
    t.equal((await inTerminal('', { TERM: 'dumb' })).stdout.replaceAll('\r', ''),
      `1/1 promoted ${stored[2]!.key} (1024 bytes)\n1 promoted (1024 bytes); none left in ${stage.service.dir}.\n`)
  })
})
