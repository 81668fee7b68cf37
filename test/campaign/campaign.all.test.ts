import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { runEpisode } from './episode.ts'
import { generate } from './generate.ts'
import { formatScript, parseScript } from './script.ts'
import type { Script, Step } from './script.ts'
import { shrink } from './shrink.ts'

// Services are started in it, on a machine that has other things to do.

const SEED = 235
const STEPS = 24

t.test('all promises are kept in a short campaign', async t => {
  const { violation, tally } = await runEpisode(generate(SEED, STEPS), { say: line => t.comment(line) })
  t.equal(violation, undefined)
  t.comment(String(tally))
})

t.test('a seed always gives the same script, which can be written down', t => {
  const script = generate(SEED)
  t.same(generate(SEED), script)
  t.notSame(generate(SEED + 1), script)
  t.same(parseScript(`# a note\n\n${formatScript(script)}`), script)
  t.throws(() => parseScript('{"do":"join"}'), SyntaxError)
  t.end()
})

t.test('a broken promise ends the command with 1, the seed and a script that repeats it', async t => {
  const dir = t.testdir()
  const file = join(dir, 'lost.script')
  // B2 says that it has the file, and keeps nothing.
  const lie: Step = { do: 'fault', fault: { operation: ['PutObject'], status: 200, body: '', headers: { etag: '"0"' } } }
  const upload: Step = { do: 'upload', upload: { id: 'u1', to: 'A', method: 'PUT', size: 10, announced: true, pace: { kind: 'burst' } } }
  await writeFile(file, formatScript({ seed: 77, env: generate(1).env, steps: [{ do: 'start', name: 'A' }, lie, upload, { do: 'join' }, { do: 'settle' }] }))

  const run = spawn(process.execPath, ['--import=tsx', 'test/campaign/run.ts', '--script', file, '--shrink-minutes', '0'], { env: { ...process.env, TMPDIR: dir } })
  const [output, [code]] = await Promise.all([text(run.stdout), once(run, 'close')])
  t.equal(code, 1, output)
  t.match(output, /^seed 77: FAILED/m)
  t.match(output, /^lost-file: u1 \S+ was stored in B2, and is not there$/m)
  const again = /npm run campaign -- --script (\S+)$/m.exec(output)?.[1] ?? ''
  t.match(parseScript(await readFile(again, 'utf8')).steps.map(step => step.do).join(' '), /^start fault upload( join)?$/)
})

t.test('a script is shrunk to the steps that it fails by', async t => {
  const script = generate(SEED)
  const [first, second] = [7, 31].map(index => script.steps[index]!)
  let tries = 0
  const isSame = async ({ steps }: Script): Promise<boolean> => {
    tries++
    return steps.includes(first!) && steps.includes(second!)
  }
  t.same((await shrink(script, isSame, 60_000)).steps, [first, second])
  t.ok(tries < 2 * script.steps.length, `${tries} tries`)
  t.same(await shrink(script, isSame, 0), script, 'as it is, where there is no time')
})
