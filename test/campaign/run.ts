import { readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runEpisode } from './episode.ts'
import { generate } from './generate.ts'
import { formatScript, parseScript } from './script.ts'
import type { Script } from './script.ts'
import { shrink } from './shrink.ts'
import { Tally } from './judge/tally.ts'

const HELP = `Usage: npm run campaign -- [options]

Runs random episodes of uploads, reads, faults, kills and restarts against the service, and compares after every step what
there is with what was promised. The exit code is 1 where a promise was broken.

  --seed N             seed of the first episode, the next ones count up (default: random)
  --minutes M          begins episodes until so many minutes are over (default 1)
  --steps N            steps of an episode (default 60)
  --script FILE        runs the script of a file instead, again and again
  --shrink-minutes M   time for finding a shorter script that fails in the same way (default 5; 0: none)
  --keep-going         does not end with the first failure
  --verbose            says each step and what came of it
`

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    minutes: { type: 'string', default: '1' },
    steps: { type: 'string', default: '60' },
    script: { type: 'string' },
    'shrink-minutes': { type: 'string', default: '5' },
    'keep-going': { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const [first, minutes, steps, shrinkMinutes] = [values.seed, values.minutes, values.steps, values['shrink-minutes']].map(Number) as [number, number, number, number]
const say = values.verbose ? (line: string): void => console.log(line) : () => {}

if (values.help) console.log(HELP)
else await campaign(values.script === undefined ? undefined : parseScript(readFileSync(values.script, 'utf8')))

async function campaign (given: Script | undefined): Promise<void> {
  const tally = new Tally()
  const started = performance.now()
  const spent = (): number => (performance.now() - started) / 60_000
  let episodes = 0
  let failures = 0
  do {
    if (await fails(given ?? generate(first + episodes, steps), tally)) failures++
    episodes++
  } while (spent() < minutes && (failures === 0 || values['keep-going']))
  const what = given === undefined ? `seeds ${first} to ${first + episodes - 1}` : `seed ${given.seed}`
  console.log(`${episodes} episodes, ${what}, ${spent().toFixed(1)} minutes, ${failures} failures\n${tally}`)
  if (failures > 0) process.exitCode = 1
}

async function fails (script: Script, tally: Tally): Promise<boolean> {
  const started = performance.now()
  const { violation, step, log, tally: own } = await runEpisode(script, { say })
  tally.add(own)
  const seconds = Math.round((performance.now() - started) / 1_000)
  console.log(`seed ${script.seed}: ${violation === undefined ? 'all promises kept' : 'FAILED'}, ${own.get('steps')} steps, ${own.get('uploads')} uploads, ${seconds} s`)
  if (violation === undefined) return false
  const name = join(tmpdir(), `campaign-${script.seed}-${violation.kind}`)
  writeFileSync(`${name}.log`, log.map(line => `${line}\n`).join(''))
  console.log(`step ${step}, ${JSON.stringify(script.steps[step])}\n${violation.message}\nWhat was logged: ${name}.log`)
  const cut = { ...script, steps: script.steps.slice(0, step + 1) }
  const isSame = async (shorter: Script): Promise<boolean> => (await runEpisode(shorter)).violation?.kind === violation.kind
  const shrunk = await shrink(cut, isSame, shrinkMinutes * 60_000)
  writeFileSync(`${name}.script`, formatScript(shrunk))
  console.log(`The same with ${shrunk.steps.length} of ${script.steps.length} steps: npm run campaign -- --script ${name}.script\n${formatScript(shrunk)}`)
  return true
}
