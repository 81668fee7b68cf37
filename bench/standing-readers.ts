// Measures what readers that stand still hold: npx tsx bench/standing-readers.ts [readers] [MB of the file]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import net from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { startB2Emulator } from '../emulator/index.ts'
import { TLS } from '../test/support/clients/tls.ts'

const READERS = Number(process.argv[2] ?? 1_000)
const MB = Number(process.argv[3] ?? 100)
const PAGE_BYTES = 4_096
const LATER_MS = 15_000

async function measure (storage: 'local' | 'b2', tls: boolean): Promise<void> {
  const b2 = storage === 'local' ? undefined : await startB2Emulator(tls ? { tls: TLS } : {})
  const dir = await mkdtemp(join(tmpdir(), 'standing-readers-'))
  const child = fork(join(import.meta.dirname, '../test/support/service/service-process.ts'), {
    execArgv: ['--import=tsx', '--expose-gc'],
    env: {
      PATH: process.env['PATH'],
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_NO_WARNINGS: '1',
      LOCAL_STORAGE_DIR: dir,
      DOWNLOAD_MAX_CONCURRENT: String(READERS),
      DOWNLOAD_IDLE_TIMEOUT_MS: '600000',
      ...(b2 === undefined
        ? {}
        : { B2_ENDPOINT: b2.endpoint, B2_REGION: b2.region, B2_BUCKET: b2.bucket, B2_APPLICATION_KEY_ID: b2.credentials.accessKeyId, B2_APPLICATION_KEY: b2.credentials.secretAccessKey }),
    },
  })
  const [{ url }] = await once(child, 'message') as [{ url: string }]
  const rss = async (): Promise<number> => Number((await readFile(`/proc/${child.pid!}/statm`, 'utf8')).split(' ')[1]) * PAGE_BYTES
  const response = await fetch(`${url}/uploads/a.bin`, { method: 'PUT', body: Buffer.alloc(MB * 1_000_000, 'x') })
  const { track } = await response.json() as { track: { key: string } }
  const path = `/uploads/${track.key.split('/').at(-1)!}/content`
  // The path of a download is warm, and memory of the upload is free again.
  await (await fetch(`${url}${path}`)).arrayBuffer()
  await wait(LATER_MS)
  const used = async (): Promise<number> => {
    child.send('report')
    const [{ usedBytes }] = await once(child, 'message') as [{ usedBytes: number }]
    return usedBytes
  }
  const usedBefore = await used()
  const before = await rss()

  const sockets: Socket[] = []
  for (let count = 0; count < READERS; count++) {
    const socket = net.connect({ port: Number(new URL(url).port), host: '127.0.0.1' })
    sockets.push(socket)
    await once(socket, 'connect')
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)
    await once(socket, 'readable')
  }
  const standing = await rss()
  await wait(LATER_MS)
  const later = await rss()
  const usedLater = await used()
  const collected = await rss()
  const perReader = (bytes: number, since = before): string => `${((bytes - since) / READERS / 1_000).toFixed(0)} KB`
  console.log(`${storage}${tls ? ' over TLS' : ''}: ${READERS} readers of ${MB} MB. RSS for each: ${perReader(standing)} at once, ${perReader(later)} after ${LATER_MS / 1_000} s, ` +
    `${perReader(collected)} after a collection, of which ${perReader(usedLater, usedBefore)} in use; ${b2?.openConnections ?? 0} connections to B2`)
  for (const socket of sockets) socket.destroy()
  child.kill('SIGKILL')
  await b2?.close()
  await rm(dir, { recursive: true })
}

await measure('local', false)
await measure('b2', false)
await measure('b2', true)
