import dns from 'node:dns'
import type { LookupAddress, LookupOptions } from 'node:dns'
import { readFileSync } from 'node:fs'

export interface PoollessResolverOptions {
  /** Default: the system's. */
  readonly hostsFile?: string
  /** Default `/etc/resolv.conf`. */
  readonly resolverFile?: string
  /** Name servers, `address:port`. Default: the system's. */
  readonly servers?: readonly string[]
}

/** @throws an error as `dns.lookup` has it: ENOTFOUND, or EAI_AGAIN if a name server failed */
export type PoollessResolver = (hostname: string, wishes: Pick<LookupOptions, 'family'>) => Promise<LookupAddress[]>

const HOSTS_FILE = process.platform === 'win32' ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts'

/** Milliseconds for each name server; the sum must be less than the time for connecting to B2. */
const TIMEOUT_MS = 1_000
const TRIES = 2

const FAMILIES = [4, 6] as const
const LOOPBACK: readonly LookupAddress[] = [{ address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 }]
/** A name server's answers that there is no such name, or none of this family. */
const NOTHING = new Set(['ENOTFOUND', 'ENODATA'])

/**
 * Resolves names by the hosts file and by DNS with the search domains, without a thread of libuv's pool: c-ares uses sockets, and
 * the two small files are read on the main thread, each time, as they may change. It does less than the system (no mDNS, no other
 * sources of nsswitch.conf), and is used only if the system does not answer.
 */
export function createPoollessResolver (options: PoollessResolverOptions = {}): PoollessResolver {
  const { hostsFile = HOSTS_FILE, resolverFile = '/etc/resolv.conf', servers } = options

  async function ask (name: string, families: readonly (4 | 6)[]): Promise<LookupAddress[]> {
    // A new one each time, as the system's name servers may have changed.
    const resolver = new dns.promises.Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
    if (servers !== undefined) resolver.setServers(servers)
    const answers = await Promise.allSettled(families.map(async family => {
      const addresses = await (family === 4 ? resolver.resolve4(name) : resolver.resolve6(name))
      return addresses.map(address => ({ address, family }))
    }))
    const found = answers.flatMap(answer => answer.status === 'fulfilled' ? answer.value : [])
    const failed = answers.find(answer => answer.status === 'rejected' && !NOTHING.has(answer.reason.code))
    if (found.length === 0 && failed !== undefined) throw (failed as PromiseRejectedResult).reason
    return found
  }

  return async (hostname, { family }) => {
    const families = FAMILIES.filter(each => !family || family === each || family === `IPv${each}`)
    const ofFamily = (addresses: readonly LookupAddress[]): LookupAddress[] => addresses.filter(address => families.includes(address.family as 4 | 6))
    const name = hostname.toLowerCase()
    const inFile = ofFamily(parseHosts(read(hostsFile)).get(name) ?? (name === 'localhost' ? LOOPBACK : []))
    if (inFile.length > 0) return inFile
    let trouble: unknown
    for (const candidate of candidates(name, parseResolverFile(read(resolverFile)))) {
      try {
        const found = await ask(candidate, families)
        if (found.length > 0) return found
      } catch (error) {
        trouble = error
      }
    }
    const code = trouble === undefined ? 'ENOTFOUND' : 'EAI_AGAIN'
    throw Object.assign(new Error(`getaddrinfo ${code} ${hostname}`, { cause: trouble }), { code, syscall: 'getaddrinfo', hostname })
  }
}

function read (file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

function parseHosts (text: string): Map<string, LookupAddress[]> {
  const byName = new Map<string, LookupAddress[]>()
  for (const line of text.split('\n')) {
    const [address, ...names] = line.split('#', 1)[0]!.split(/\s/).filter(word => word !== '')
    for (const name of names) {
      const own = byName.get(name.toLowerCase()) ?? []
      own.push({ address: address!, family: address!.includes(':') ? 6 : 4 })
      byName.set(name.toLowerCase(), own)
    }
  }
  return byName
}

interface ResolverSettings {
  readonly search: readonly string[]
  /** A name with so many dots is tried as it is first. */
  readonly dots: number
}

/** Reads resolv.conf(5). The last `search` or `domain` line counts. */
function parseResolverFile (text: string): ResolverSettings {
  let search: string[] = []
  let dots = 1
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.split(/\s/).filter(word => word !== '')
    if (keyword === 'search' || keyword === 'domain') search = values
    if (keyword === 'options') dots = Number(values.findLast(value => /^ndots:\d+$/.test(value))?.slice('ndots:'.length) ?? dots)
  }
  return { search, dots }
}

function candidates (name: string, { search, dots }: ResolverSettings): string[] {
  if (name.endsWith('.')) return [name]
  const searched = search.map(domain => `${name}.${domain.replace(/\.$/, '')}`)
  return name.split('.').length > dots ? [name, ...searched] : [...searched, name]
}
