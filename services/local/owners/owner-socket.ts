import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import net from 'node:net'

/** Milliseconds that an answer, and a question, may take. */
const ANSWER_MS = 1_000

/** Files in one question. */
const BATCH = 1_000

/** Most characters of a question or an answer. */
const MOST_LENGTH = 4_194_304 // 4 Mi

const MOST_CONNECTIONS = 16

/** The socket at which an owner of live files answers questions about them. */
export interface OwnerSocket {
  close (): void
}

let machine: string | undefined | null = null

/**
 * The same for all processes that can reach each other's sockets: a running kernel and a network namespace. Undefined if there
 * are no such sockets (only Linux has them).
 */
export function machineId (): string | undefined {
  if (machine === null) {
    try {
      const facts = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8') + readlinkSync('/proc/self/ns/net')
      machine = createHash('sha256').update(facts).digest('hex').slice(0, 16)
    } catch {
      machine = undefined
    }
  }
  return machine
}

/** An abstract socket: it needs no directory, so no disk can make it hang, and it ends with its process, however that ends. */
function pathOf (id: string): string {
  return `\0fastify-b2-uploads/${id}`
}

/** Answers, as long as the process lives, which files are its own. Undefined if there can't be a socket. */
export async function answerQuestions (id: string, isOurs: (name: string) => boolean): Promise<OwnerSocket | undefined> {
  const server = net.createServer({ allowHalfOpen: true }, socket => {
    socket.unref()
    socket.setTimeout(ANSWER_MS, () => socket.destroy())
    read(socket).then(names => socket.end(JSON.stringify(names.filter(isOurs)))).catch(() => socket.destroy())
  })
  server.maxConnections = MOST_CONNECTIONS
  return await new Promise(resolve => {
    server.on('error', () => resolve(undefined))
    // In a cluster each process needs its own.
    server.listen({ path: pathOf(id), exclusive: true }, () => {
      server.unref()
      resolve({ close: () => server.close() })
    })
  })
}

/**
 * Which of these files belong to the owner. `dead`: there is no such process any more. `silent`: there is one, but it does not answer
 * now, for example because it is paused. The kernel makes the connection, so the two can always be told apart.
 */
export async function askOwner (id: string, names: readonly string[]): Promise<string[] | 'dead' | 'silent'> {
  const found: string[] = []
  // At least once, as that tells whether it lives.
  for (let start = 0; start === 0 || start < names.length; start += BATCH) {
    const answer = await askOnce(id, names.slice(start, start + BATCH))
    if (typeof answer === 'string') return answer
    found.push(...answer)
  }
  return found
}

async function askOnce (id: string, names: readonly string[]): Promise<string[] | 'dead' | 'silent'> {
  const socket = net.connect({ path: pathOf(id) })
  const late = setTimeout(() => socket.destroy(new Error('no answer')), ANSWER_MS)
  try {
    socket.end(JSON.stringify(names))
    return await read(socket)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'dead' : 'silent'
  } finally {
    clearTimeout(late)
    socket.destroy()
  }
}

/** Reads a list of names, with a bound: any process on the machine may connect. */
async function read (socket: net.Socket): Promise<string[]> {
  const text = await new Promise<string>((resolve, reject) => {
    let text = ''
    socket.setEncoding('utf8').on('data', (more: string) => {
      text += more
      if (text.length > MOST_LENGTH) socket.destroy(new Error('too long'))
    })
    socket.on('error', reject).on('close', () => reject(new Error('the connection broke off'))).on('end', () => resolve(text))
  })
  const names: unknown = JSON.parse(text)
  if (!Array.isArray(names) || !names.every(name => typeof name === 'string')) throw new TypeError('not a list of names')
  return names
}
