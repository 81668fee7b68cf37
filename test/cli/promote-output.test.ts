import { spawnSync } from 'node:child_process'
import t from 'tap'
import { createPromotionOutput } from '../../cli/promote-output.ts'
import type { OutputOptions } from '../../cli/promote-output.ts'
import type { PromotionProgress } from '../../services/promotion/promoter.ts'
import { isPromoted, KIB, MIB } from '../support/promotion/promotion.ts'
import { begin, COMMAND, setCommandStage } from '../support/promotion/promote-command.ts'

// Many processes are started one after the other, each of which loads all code anew.

const KEY = 'tracks/0197a3f0-0000-7000-8000-000000000000.mp3'
const ESCAPE = '\u001B['
const ERASE = `\r${ESCAPE}K`

/** What was drawn over one another, each as far as its line goes. */
const framesIn = (text: string): string[] => text.split(ERASE).slice(1).map(frame => frame.split(/[\r\n]/, 1)[0]!)

/** The only control sequence is the one that erases a line: no color, no movement. */
const hasOthers = (text: string): boolean => text.replaceAll(ERASE, '').includes(ESCAPE)

function output (options: Partial<OutputOptions> & { columns?: number, isTTY?: boolean } = {}) {
  const { columns = 80, isTTY = true, ...rest } = options
  const printed = { stdout: '', stderr: '' }
  const stream = (name: 'stdout' | 'stderr') => ({ isTTY, columns, write (text: string) { printed[name] += text } })
  const { onProgress, end } = createPromotionOutput({
    stdout: stream('stdout'), stderr: stream('stderr'), json: false, dryRun: false, dir: '/data', terminal: 'xterm', ...rest,
  })
  return {
    printed,
    tell: (progress: Partial<PromotionProgress>) => onProgress({ total: 4, done: 0, key: KEY, bytes: 0, size_bytes: 100, ...progress }),
    end: () => end({ promoted: 3, failed: 1, set_aside: 0, skipped: 0, elsewhere: 0, pending: 1, bytes: 300 }),
  }
}

t.test('on a terminal one bar grows, over files and within a file, and is gone at the end', async t => {
  const { printed, tell, end } = output()
  for (const bytes of [0, 50]) tell({ bytes })
  tell({ done: 1, bytes: 100, outcome: 'promoted' })
  tell({ done: 4, outcome: 'promoted' })
  end()
  const frames = framesIn(printed.stdout)
  t.same(frames.slice(0, 4).map(frame => frame.split('=').length - 1), [0, 3, 7, 30])
  for (const frame of frames.slice(0, 4)) t.match(frame, new RegExp(`^\\[=* *\\] [014]/4 ${KEY.slice(0, 20)}`))
  t.ok(printed.stdout.endsWith(`${ERASE}3 promoted (300 bytes), 1 failed; 1 left in /data.\n`))
  t.equal(printed.stdout.split('\n').length, 2, 'no other line stays')
})

t.test('what fails has a line of its own, with no rest of the bar in it', async t => {
  const { printed, tell, end } = output()
  tell({ bytes: 50 })
  tell({ done: 1, outcome: 'failed', detail: 'B2 is down', error_code: 'timeout' })
  const [, before, between, after, ...rest] = printed.stdout.split(ERASE)
  t.match(before, '[===')
  t.equal(between, '', 'erased before it')
  t.match(after, /^\[=+ *\] 1\/4 /, 'drawn again after it')
  t.same(rest, [])
  t.equal(printed.stderr, `1/4 failed ${KEY} (100 bytes): B2 is down [timeout]\n`)
  end()
})

t.test('no frame is as wide as the terminal, which would wrap it', async t => {
  for (const columns of [200, 80, 40, 20, 12, 5, 1]) {
    const { printed, tell } = output({ columns })
    tell({ bytes: 50 })
    tell({ done: 3, total: 12_345, bytes: 50 })
    for (const frame of framesIn(printed.stdout)) {
      t.ok(frame.length < columns, `${frame.length} of ${columns}`)
      if (columns > 12) t.match(frame, /[03]\/(4|12345)/, 'how far it is, it always says')
    }
  }
  const { printed, tell } = output({ columns: 0 })
  tell({})
  t.equal(framesIn(printed.stdout)[0]!.length, 79, 'a terminal that does not tell has 80')
})

t.test('without a terminal, on a dumb one and with --json nothing is drawn', async t => {
  for (const options of [{ isTTY: false }, { terminal: 'dumb' }]) {
    const { printed, tell, end } = output(options)
    tell({ bytes: 50 })
    tell({ done: 1, outcome: 'promoted' })
    end()
    t.equal(printed.stdout, `1/4 promoted ${KEY} (100 bytes)\n3 promoted (300 bytes), 1 failed; 1 left in /data.\n`)
  }
  const { printed, tell, end } = output({ json: true })
  tell({ bytes: 50 })
  tell({ done: 1, outcome: 'promoted' })
  end()
  t.same(JSON.parse(printed.stdout), { promoted: 3, failed: 1, set_aside: 0, skipped: 0, elsewhere: 0, pending: 1, bytes: 300, files: [{ key: KEY, outcome: 'promoted', size_bytes: 100 }] })
})

// That of util-linux, which knows these options.
const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') === true

t.test('in a real terminal of 40 columns', { skip: hasScript ? false : 'script of util-linux is needed' }, async t => {
  const stage = await setCommandStage(t)
  const stored = [await stage.fallBack(12 * MIB), await stage.fallBack(KIB)]
  const command = [process.execPath, ...COMMAND].map(word => `'${word}'`).join(' ')
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
