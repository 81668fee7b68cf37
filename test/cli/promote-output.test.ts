import t from 'tap'
import { createPromotionOutput } from '../../cli/promote-output.ts'
import type { OutputOptions } from '../../cli/promote-output.ts'
import type { PromotionProgress } from '../../services/promotion/promoter.ts'
import { ERASE, framesIn } from '../support/promotion/terminal.ts'

// Many processes are started one after the other, each of which loads all code anew.

const KEY = 'tracks/0197a3f0-0000-7000-8000-000000000000.mp3'
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
