// The clients. Each message is a load to put on a server; the answer says what came of it.
import { createCipheriv, createHash } from 'node:crypto'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { UploadConnection } from './upload-connection.mjs'

const BLOCK_BYTES = 1_048_576 // 1 MiB
const BOUNDARY = '----bench-boundary-7MA4YWxkTrZu0gW'
const SLOW_STEPS_PER_SECOND = 4
const SLOW_START_MS = 2_000
const MOST_FAILURES = 1_000
const GRACE_SECONDS = 30

process.on('disconnect', () => process.exit())
process.on('message', async load => {
  process.send(await run(load).catch(error => ({ error: error.stack })))
})

/**
 * @param load `port`, `form` or `raw` (a path) or `tus` (its `path`, and what `keys` begin with), `files`, `slow` (see workloads.mjs), `seed`, `storage`: the one that has
 * to answer for the files.
 */
async function run (load) {
  const block = contentOf(load.seed)
  const slow = load.slow === undefined ? undefined : await startSlowClients(load, block)
  const { size, count = Infinity, concurrency, seconds = Infinity } = load.files
  const sizes = [size].flat()
  const stored = []
  const failures = {}
  const latencies = []
  let started = 0
  let failed = 0
  const connections = Array.from({ length: concurrency }, () => new UploadConnection(load.port))
  const begin = performance.now()

  async function client (connection) {
    while (started < count && performance.now() - begin < seconds * 1_000 && failed < MOST_FAILURES) {
      const bytes = sizes[started % sizes.length]
      const request = requestFor(load, started++)
      const sent = performance.now()
      const failure = await (load.tus === undefined ? connection.upload({ ...request, size: bytes, block }) : resumable(connection, load, bytes, block)).then(({ status, body }) => {
        if (status !== 201) return `${status} ${body.error_code ?? ''}`
        if (body.storage !== load.storage) return `stored in ${body.storage}: ${body.fallback_reason?.error_code}`
        latencies.push(performance.now() - sent)
        stored.push([body.location, bytes])
        return undefined
      }, error => error.message)
      if (failure === undefined) continue
      failed++
      failures[failure] = (failures[failure] ?? 0) + 1
    }
    connection.close()
  }

  const lateTimer = seconds === Infinity
    ? undefined
    : setTimeout(() => {
      for (const connection of connections) connection.close(`not done ${GRACE_SECONDS} s after the end`)
    }, (seconds + GRACE_SECONDS) * 1_000)
  await Promise.all(connections.map(client))
  clearTimeout(lateTimer)
  const wallSeconds = (performance.now() - begin) / 1_000
  latencies.sort((a, b) => a - b)
  return {
    wallSeconds,
    stored,
    bytes: stored.reduce((sum, [, bytes]) => sum + bytes, 0),
    failed,
    failures,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    ...(slow === undefined ? {} : { slow: slow.stop() }),
  }
}

/** Clients that send all the while; one that was ended does not come again. */
async function startSlowClients (load, block) {
  const { clients, size, bytesPerSecond } = load.slow
  const pace = { bytes: Math.round(bytesPerSecond / SLOW_STEPS_PER_SECOND), everyMs: 1_000 / SLOW_STEPS_PER_SECOND }
  const connections = Array.from({ length: clients }, () => new UploadConnection(load.port))
  const ended = {}
  let sending = 0
  let stopped = false
  for (const [index, connection] of connections.entries()) {
    sending++
    connection.upload({ ...requestFor(load, index), size, block, pace })
      .then(({ status, body }) => `${status} ${body.error_code ?? ''}`.trim(), error => error.message)
      .then(end => {
        if (stopped) return
        sending--
        ended[end] = (ended[end] ?? 0) + 1
      })
    await sleep(SLOW_START_MS / clients)
  }
  return {
    stop () {
      stopped = true
      for (const connection of connections) connection.close()
      return { clients, sending, ended }
    },
  }
}

/** An upload by tus, in two requests; answered as other uploads are. */
async function resumable (connection, { port, tus: { path, keys } }, size, block) {
  const none = { prefix: '', suffix: '', size: 0, block }
  const head = `HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nTus-Resumable: 1.0.0\r\n`
  const created = await connection.upload({ ...none, head: `POST ${path} ${head}Upload-Length: ${size}\r\n` })
  if (created.status !== 201) return created
  const sent = await connection.upload({ ...none, head: `PATCH ${created.location} ${head}Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n`, size })
  if (sent.status !== 204) return sent
  // The object's key, by which the store is asked whether all has come: it ends as the URL does.
  return { status: 201, body: { storage: 'b2', location: `${keys}${created.location.split('/').at(-1)}` } }
}

function requestFor ({ port, form, raw }, index) {
  const name = `file-${index}.bin`
  if (raw !== undefined) {
    return { head: `PUT ${raw}${name} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/octet-stream\r\n`, prefix: '', suffix: '' }
  }
  return {
    head: `POST ${form} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: multipart/form-data; boundary=${BOUNDARY}\r\n`,
    prefix: `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: application/octet-stream\r\n\r\n`,
    suffix: `\r\n--${BOUNDARY}--\r\n`,
  }
}

/** Noise that is the same for the same seed; files are made of it, over and over. */
function contentOf (seed) {
  const key = createHash('sha256').update(String(seed)).digest().subarray(0, 16)
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(BLOCK_BYTES))
}

function quantile (sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}
