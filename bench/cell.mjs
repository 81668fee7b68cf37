import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CONTESTANTS } from './contestants.mjs'
import { cpuSeconds, peakResidentBytes, residentBytes, resetPeak, writtenBytes } from './process-stats.mjs'
import { ask, startHelper, startServer, stop } from './processes.mjs'

const SINK = new URL('programs/sink.mjs', import.meta.url).pathname
const LOAD = new URL('programs/load.mjs', import.meta.url).pathname
// tcpmux: nothing has listened there for decades, and only root could.
const REFUSED = 'http://127.0.0.1:1'
const PROFILE_GRACE_MS = 30_000
const TRIES_TO_OPEN_CIRCUIT = 10

/**
 * Measures one workload on one server. Store, server and clients are started anew.
 *
 * @param {object} cell
 * @param {object} cell.workload see workloads.mjs
 * @param {string} cell.contestant a name in contestants.mjs
 * @param {boolean} cell.tls
 * @param {string} cell.seed
 * @param {string} cell.directory for temporary files
 * @param {{ key: string, cert: string }} [cell.certificate]
 * @param {{ directory: string, name: string }} [cell.profile]
 */
export async function measure ({ workload, contestant, tls, seed, directory: parent, certificate, profile }) {
  const { title, args, cwd, form, raw, tus, env, hasCircuit } = CONTESTANTS[contestant]
  const directory = await mkdtemp(path.join(parent, 'cell-'))
  const logFile = path.join(directory, 'server.log')
  const children = []
  try {
    const { latencyMs, bytesPerSecond } = workload
    const sink = workload.b2Down ? undefined : startHelper(SINK, [JSON.stringify({ latencyMs, bytesPerSecond, tls: tls ? certificate : undefined })])
    if (sink !== undefined) children.push(sink)
    const endpoint = sink === undefined ? REFUSED : `${tls ? 'https' : 'http'}://127.0.0.1:${(await ask(sink, {})).port}`
    const storage = path.join(directory, 'storage')
    await mkdir(storage)
    const server = await startServer({
      args: profile === undefined ? args : ['--cpu-prof', `--cpu-prof-dir=${profile.directory}`, `--cpu-prof-name=${profile.name}`, ...args],
      cwd,
      logFile,
      env: {
        ...env({ endpoint, directory: storage }),
        ...workload.env,
        ...(tls ? { NODE_EXTRA_CA_CERTS: certificate.cert } : {}),
      },
    })
    children.push(server.child)
    const clients = startHelper(LOAD)
    children.push(clients)
    const load = { port: server.port, form, raw, tus, seed, storage: workload.b2Down ? 'local' : 'b2' }

    if (workload.b2Down && hasCircuit) await openCircuit(clients, load, logFile)
    await warmUp(clients, load, workload.warm)
    resetPeak(server.pid)
    const idleBytes = residentBytes(server.pid)
    const watch = workload.watched === undefined ? undefined : watchMemory(server.pid, workload)
    const writtenBefore = writtenBytes(server.pid)
    const cpuBefore = cpuSeconds(server.pid)
    const { stored, ...result } = await ask(clients, { ...load, files: workload.files, slow: workload.slow })
    const cpu = cpuSeconds(server.pid) - cpuBefore
    const diskBytes = writtenBytes(server.pid) - writtenBefore
    const peakBytes = peakResidentBytes(server.pid)
    const arrived = sink === undefined ? await onDisk(stored) : await ask(sink, { files: stored })
    return {
      title,
      files: stored.length,
      ...result,
      cpuSeconds: cpu,
      idleBytes,
      peakBytes,
      diskBytes,
      arrived,
      ...(watch === undefined ? {} : { memory: await watch.end(workload.watched.idleSeconds) }),
    }
  } finally {
    await Promise.all(children.map(child => stop(child, profile === undefined ? undefined : PROFILE_GRACE_MS)))
    await rm(directory, { recursive: true, force: true })
  }
}

/** Uploads until the service has seen that B2 is down. */
async function openCircuit (clients, load, logFile) {
  for (let tries = 0; tries < TRIES_TO_OPEN_CIRCUIT; tries++) {
    await ask(clients, { ...load, files: { size: 1_000, count: 5, concurrency: 5 } })
    if ((await readFile(logFile, 'utf8')).includes('breaker.open')) return
  }
  throw new Error('the circuit did not open')
}

async function warmUp (clients, load, files) {
  const { failed, failures } = await ask(clients, { ...load, files })
  if (failed > 0) throw new Error(`the warm-up failed: ${JSON.stringify(failures)}`)
}

async function onDisk (stored) {
  const sizes = await Promise.all(stored.map(([location]) => stat(location).then(found => found.size, () => undefined)))
  return {
    missing: sizes.filter(size => size === undefined).length,
    wrong: sizes.filter((size, index) => size !== undefined && size !== stored[index][1]).length,
  }
}

function watchMemory (pid, { files, watched }) {
  const begin = performance.now()
  const samples = []
  const sample = () => samples.push({ seconds: (performance.now() - begin) / 1_000, bytes: residentBytes(pid) })
  sample()
  const timer = setInterval(sample, files.seconds / watched.samples * 1_000)
  return {
    async end (idleSeconds) {
      clearInterval(timer)
      sample()
      await sleep(idleSeconds * 1_000)
      sample()
      return samples
    },
  }
}
