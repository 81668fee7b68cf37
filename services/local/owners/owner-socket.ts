import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import net from 'node:net'

/** How long an owner may take to answer, and to ask, milliseconds. */
const ANSWER_MS = 1_000

/** Files in one question. */
const BATCH = 1_000

/** Characters that such a question, or its answer, stays below. */
const MOST_LENGTH = 4_194_304 // 4 Mi

const MOST_CONNECTIONS = 16

/** Where an owner of live files answers for them. */
export interface OwnerSocket {
  close (): void
}

let machine: string | undefined | null = null

/**
 * What processes have in common that can reach each other's sockets: a running kernel and a network namespace. Undefined where
 * there are no such sockets (they are Linux's).
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

/** An abstract socket: it is in no directory, so no disk can hang on it, and it ends with its process, however that ends. */
function pathOf (id: string): string {
  return `\0fastify-b2-uploads/${id}`
}

/** Answers, as long as the process lives, which of the files that others ask for are its. Undefined where there can't be a socket. */
export async function answerQuestions (id: string, isOurs: (name: string) => boolean): Promise<OwnerSocket | undefined> {
  const server = net.createServer({ allowHalfOpen: true }, socket => {
    socket.unref()
    socket.setTimeout(ANSWER_MS, () => socket.destroy())
    read(socket).then(names => socket.end(JSON.stringify(names.filter(isOurs)))).catch(() => socket.destroy())
  })
  server.maxConnections = MOST_CONNECTIONS
  return await new Promise(resolve => {
    server.on('error', () => resolve(undefined))
    // In a cluster each process has its own.
    server.listen({ path: pathOf(id), exclusive: true }, () => {
      server.unref()
      resolve({ close: () => server.close() })
    })
  })
}

/**
 * Which of these files are the owner's. `dead`: there is no such process any more. `silent`: there is one, but it does not answer
 * now, as one that is paused. A connection is the kernel's doing, so the two can always be told apart.
 */
export async function askOwner (id: string, names: readonly string[]): Promise<string[] | 'dead' | 'silent'> {
  const found: string[] = []
  // Once at least, as that tells whether it lives.
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

/** A list of names. Anybody on the machine may connect, so it is read with a bound. */
async function read (socket: net.Socket): Promise<string[]> {
  const text = await new Promise<string>((resolve, reject) => {
    let text = ''
    socket.setEncoding('utf8').on('data', (more: string) => {
      text += more
      if (text.length > MOST_LENGTH) socket.destroy(new Error('too long'))
    })
    socket.on('error', reject).on('close', () => reject(new Error('it broke off'))).on('end', () => resolve(text))
  })
  const names: unknown = JSON.parse(text)
  if (!Array.isArray(names) || !names.every(name => typeof name === 'string')) throw new TypeError('this is no list of names')
  return names
}
