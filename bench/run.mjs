import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { measure } from './cell.mjs'
import { buildService, installPeers, makeCertificate } from './prepare.mjs'
import { cpus, killAll } from './processes.mjs'
import { isMeasurable } from './process-stats.mjs'
import { markdown, memoryOverTime, slowClients, summarize, troubleOf } from './table.mjs'
import { scaleWorkload, WORKLOADS } from './workloads.mjs'

const HELP = `npm run bench -- [options]

  --workloads a,b   what is measured; --list names them
  --rounds n        times each is measured (3)
  --scale x         0 to 1: sizes, counts or durations, whichever a workload is about, times x (1)
  --short           one round of a few, made smaller: less than three minutes
  --seconds n       duration of the workloads that have one
  --seed text       of the files' content (bench)
  --tls, --no-tls   the store over https, or over http, whatever the workload says
  --json file       everything that was measured
  --prof dir        a V8 CPU profile of the service for each measurement, from its start to its end
  --list            the workloads`

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    workloads: { type: 'string' },
    rounds: { type: 'string' },
    scale: { type: 'string', default: '1' },
    short: { type: 'boolean', default: false },
    seconds: { type: 'string' },
    seed: { type: 'string', default: 'bench' },
    tls: { type: 'boolean' },
    json: { type: 'string' },
    prof: { type: 'string' },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

if (options.help) console.log(HELP)
else if (options.list) list()
else await main()

function list () {
  for (const [name, { title, tls, short, onRequest }] of Object.entries(WORKLOADS)) {
    const marks = [tls ? 'https' : '', short === undefined ? '' : 'in a short run', onRequest ? 'only where it is named' : ''].filter(Boolean)
    console.log(`${name.padEnd(16)}${title}${marks.length === 0 ? '' : ` (${marks.join('; ')})`}`)
  }
}

async function main () {
  const plan = planned()
  say(`${plan.map(({ name }) => name).join(', ')}`)
  const directory = mkdtempSync(path.join(os.tmpdir(), 'bench-'))
  const cleanUp = () => {
    killAll()
    rmSync(directory, { recursive: true, force: true })
  }
  process.once('exit', cleanUp)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(130))

  installPeers(say)
  buildService(say)
  if (options.prof !== undefined) mkdirSync(options.prof, { recursive: true })
  if (cpus === undefined) say('the processes are not pinned to CPUs: that takes taskset and two CPUs')
  if (!isMeasurable) say('CPU time and memory can be measured on Linux only')
  const certificate = makeCertificate(directory)
  if (certificate === undefined) say('there is no openssl: what goes over https is left out')

  const cells = []
  for (let round = 0; round < Math.max(...plan.map(({ rounds }) => rounds)); round++) {
    for (const { name, workload, tls } of plan.filter(({ rounds }) => round < rounds)) {
      if (tls && certificate === undefined) continue
      // Whoever comes first may meet another machine than whoever comes last.
      const order = round % 2 === 0 ? workload.contestants : workload.contestants.toReversed()
      for (const contestant of order) {
        const cell = { workload: name, what: workload.title, contestant, peer: peerOf(workload), round, tls, ...await attempt(name, workload, contestant, round, tls, directory, certificate) }
        cells.push(cell)
        report(cell)
      }
    }
  }
  present(cells)
}

/** What the options ask for. */
function planned () {
  const named = options.workloads?.split(',').map(name => name.trim())
  const unknown = named?.filter(name => WORKLOADS[name] === undefined) ?? []
  if (unknown.length > 0) fail(`There is no workload ${unknown.join(', ')}; --list names them.`)
  const scale = number('scale', 0, 1)
  const rounds = options.rounds === undefined ? undefined : Math.ceil(number('rounds', 0, 1_000))
  const seconds = options.seconds === undefined ? undefined : number('seconds', 0, 86_400)
  return Object.entries(WORKLOADS)
    .filter(([name, { short, onRequest }]) => named?.includes(name) ?? (options.short ? short !== undefined : !onRequest))
    .map(([name, workload]) => ({
      name,
      workload: scaleWorkload(workload, scale * (options.short ? workload.short ?? 0.25 : 1), seconds),
      tls: !workload.b2Down && (options.tls ?? workload.tls ?? false),
      rounds: rounds ?? (options.short ? 1 : workload.rounds ?? 3),
    }))
}

function number (name, above, most) {
  const value = Number(options[name])
  if (!(value > above && value <= most)) fail(`--${name} must be a number above ${above} and at most ${most}.`)
  return value
}

function peerOf ({ contestants }) {
  return contestants.find(name => ['peer', 'tus-peer', 'disk'].includes(name))
}

async function attempt (name, workload, contestant, round, tls, directory, certificate) {
  const profile = options.prof === undefined || !['service', 'put', 'resumable'].includes(contestant)
    ? undefined
    : { directory: path.resolve(options.prof), name: `${name}-${contestant}-${round + 1}.cpuprofile` }
  try {
    return await measure({ workload, contestant, tls, seed: options.seed, directory, certificate, profile })
  } catch (error) {
    return { error: error.message }
  }
}

function report (cell) {
  const trouble = troubleOf(cell)
  const outcome = trouble ?? `${cell.files} files, ${(cell.bytes / 1_000_000).toFixed(1)} MB in ${cell.wallSeconds.toFixed(1)} s`
  say(`round ${cell.round + 1}, ${cell.workload}, ${cell.contestant}: ${outcome}`)
}

function present (cells) {
  const rows = summarize(cells)
  console.log([markdown(rows), slowClients(cells), memoryOverTime(cells)].filter(text => text !== '').join('\n\n'))
  if (options.json !== undefined) {
    const machine = { node: process.version, cpu: os.cpus()[0]?.model, cpus: os.cpus().length, kernel: os.release() }
    writeFileSync(options.json, JSON.stringify({ machine, options, rows, cells }, null, 2))
  }
  if (rows.some(({ trouble }) => trouble !== undefined)) process.exitCode = 1
}

function say (text) {
  console.error(`bench: ${text}`)
}

function fail (text) {
  console.error(text)
  process.exit(2)
}
