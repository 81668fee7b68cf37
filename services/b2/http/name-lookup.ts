import dns from 'node:dns'
import type { LookupAddress, LookupOptions } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { createPoollessResolver } from './poolless-resolver.ts'
import type { PoollessResolver } from './poolless-resolver.ts'

/** Long for a name server nearby, short for clients that wait. */
const PATIENCE_MS = 500

export interface NameLookupOptions {
  /** Asks the system. Default `dns.lookup`. */
  readonly system?: (hostname: string, options: LookupOptions, callback: (error: Error | null, addresses: LookupAddress[]) => void) => void
  /** Asked if the system doesn't answer. */
  readonly resolver?: PoollessResolver
  /** Milliseconds that the system has to answer first. Default 500. */
  readonly patienceMs?: number
}

interface Question {
  readonly answer: Promise<LookupAddress[]>
  readonly askedAt: number
}

/**
 * Resolves names as the system does: by its hosts file, its search domains and whatever else it is set up for. But asking the
 * system takes a thread of libuv's pool, and if a disk hangs, none may be free. So after a moment a resolver that needs no thread
 * is asked as well. The first answer counts; it is an error only if neither has one.
 */
export function createNameLookup (options: NameLookupOptions = {}): LookupFunction {
  const { system = dns.lookup, resolver = createPoollessResolver(), patienceMs = PATIENCE_MS } = options
  /** Questions that the system has not answered. It is not asked again meanwhile, as questions would pile up. */
  const open = new Map<string, Question>()

  function askSystem (hostname: string, wishes: LookupOptions): Question {
    const id = `${hostname} ${wishes.family ?? 0} ${wishes.hints ?? 0}`
    const asked = open.get(id)
    if (asked !== undefined) return asked
    const answer = new Promise<LookupAddress[]>((resolve, reject) => {
      system(hostname, { ...wishes, all: true }, (error, addresses) => {
        open.delete(id)
        if (error === null) resolve(addresses)
        else reject(error)
      })
    })
    const question = { answer, askedAt: performance.now() }
    open.set(id, question)
    return question
  }

  async function ask (hostname: string, wishes: LookupOptions): Promise<LookupAddress[]> {
    const { answer, askedAt } = askSystem(hostname, wishes)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'late'>(resolve => { timer = setTimeout(() => resolve('late'), Math.max(0, askedAt + patienceMs - performance.now())) })
    const first = await Promise.race([answer, late]).finally(() => clearTimeout(timer))
    if (first !== 'late') return first
    try {
      return await Promise.any([answer, resolver(hostname, wishes)])
    } catch (error) {
      throw (error as AggregateError).errors[0]
    }
  }

  return (hostname, wishes, callback) => {
    ask(hostname, wishes).then(addresses => {
      if (wishes.all === true) callback(null, addresses)
      else callback(null, addresses[0]!.address, addresses[0]!.family)
    }, (error: Error) => callback(error, ''))
  }
}
