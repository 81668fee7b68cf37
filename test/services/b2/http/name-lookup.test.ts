import { createSocket } from 'node:dgram'
import type { LookupAddress, LookupOptions } from 'node:dns'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { createNameLookup } from '../../../../services/b2/http/name-lookup.ts'
import type { NameLookupOptions } from '../../../../services/b2/http/name-lookup.ts'
import { createPoollessResolver } from '../../../../services/b2/http/poolless-resolver.ts'

const A = 1
const AAAA = 28
const SERVFAIL = 2
const NXDOMAIN = 3

/** A name server that knows these names; `SERVFAIL` is one of which it can't say. */
async function startNameServer (t: Test, names: Record<string, readonly string[] | 'SERVFAIL'>) {
  const asked: string[] = []
  const server = createSocket('udp4')
  server.on('message', (query, { port, address }) => {
    const labels: string[] = []
    let at = 12
    for (; query[at] !== 0; at += query[at]! + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!))
    const type = query.readUInt16BE(at + 1)
    const name = labels.join('.').toLowerCase()
    if (type === A) asked.push(name)
    const known = names[name]
    const addresses = Array.isArray(known) ? known.filter(each => each.includes(':') === (type === AAAA)) : []
    const records = addresses.map(each => {
      const bytes = type === A ? Buffer.from(each.split('.').map(Number)) : Buffer.concat([Buffer.alloc(15), Buffer.from([1])])
      return Buffer.concat([Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, bytes.length]), bytes])
    })
    const code = known === 'SERVFAIL' ? SERVFAIL : known === undefined ? NXDOMAIN : 0
    const header = Buffer.from([query[0]!, query[1]!, 0x81, 0x80 | code, 0, 1, 0, records.length, 0, 0, 0, 0])
    server.send(Buffer.concat([header, query.subarray(12, at + 5), ...records]), port, address)
  })
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  return { asked, servers: [`127.0.0.1:${(server.address() as AddressInfo).port}`] }
}

async function setUp (t: Test, names: Parameters<typeof startNameServer>[1], files: { hosts?: string, resolver?: string } = {}) {
  const { asked, servers } = await startNameServer(t, names)
  const dir = t.testdir({ hosts: files.hosts ?? '', resolver: files.resolver ?? '' })
  return { asked, resolve: createPoollessResolver({ hostsFile: join(dir, 'hosts'), resolverFile: join(dir, 'resolver'), servers }) }
}

t.test('a name is resolved by DNS, in the families that are asked for', async t => {
  const { resolve } = await setUp(t, { 's3.example.com': ['192.0.2.1', '192.0.2.2', '::1'] })
  const [four, six] = [[{ address: '192.0.2.1', family: 4 }, { address: '192.0.2.2', family: 4 }], [{ address: '::1', family: 6 }]]
  t.same(await resolve('s3.example.com', {}), [...four, ...six])
  t.same(await resolve('S3.Example.com', { family: 4 }), four)
  t.same(await resolve('s3.example.com', { family: 6 }), six)
  t.same(await resolve('s3.example.com', { family: 'IPv6' }), six)
})

t.test('the hosts file comes first, and localhost needs none', async t => {
  const { asked, resolve } = await setUp(t, {}, { hosts: '# comment\n127.0.0.9\tMinio  minio.local # another\n::9 minio\n\n192.0.2.1\n' })
  t.same(await resolve('minio', {}), [{ address: '127.0.0.9', family: 4 }, { address: '::9', family: 6 }])
  t.same(await resolve('MINIO.local', {}), [{ address: '127.0.0.9', family: 4 }])
  t.same(await resolve('localhost', {}), [{ address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 }])
  t.same(asked, [])
})

t.test('search domains are tried in their order, after a name with enough dots, and before others', async t => {
  const names = { 'minio.storage.svc.cluster.local': ['192.0.2.5'], 'example.com': ['192.0.2.6'] }
  const { asked, resolve } = await setUp(t, names, {
    resolver: 'domain ignored.example\nsearch app.svc.cluster.local svc.cluster.local. cluster.local\noptions rotate ndots:5\nnameserver 192.0.2.53\n',
  })
  t.same(await resolve('minio.storage', {}), [{ address: '192.0.2.5', family: 4 }])
  t.same(asked.splice(0), ['minio.storage.app.svc.cluster.local', 'minio.storage.svc.cluster.local'])
  t.same(await resolve('example.com', {}), [{ address: '192.0.2.6', family: 4 }])
  t.same(asked.splice(0), ['example.com.app.svc.cluster.local', 'example.com.svc.cluster.local', 'example.com.cluster.local', 'example.com'])
  t.same(await resolve('example.com.', {}), [{ address: '192.0.2.6', family: 4 }])
  t.same(asked, ['example.com'])
  const few = await setUp(t, names, { resolver: 'search example.org' })
  t.same(await few.resolve('example.com', {}), [{ address: '192.0.2.6', family: 4 }])
  t.same(few.asked, ['example.com'])
})

t.test('a name that nobody knows is told from a name server that fails', async t => {
  const { resolve } = await setUp(t, { 'broken.example': 'SERVFAIL' })
  await t.rejects(resolve('none.example', {}), { code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'none.example' })
  await t.rejects(resolve('broken.example', {}), { code: 'EAI_AGAIN', message: 'getaddrinfo EAI_AGAIN broken.example' })
})

const HERE: LookupAddress[] = [{ address: '192.0.2.1', family: 4 }, { address: '::1', family: 6 }]
const THERE: LookupAddress[] = [{ address: '192.0.2.2', family: 4 }]

async function ask (options: NameLookupOptions, wishes: LookupOptions = { all: true }): Promise<unknown[]> {
  const lookup = createNameLookup({ patienceMs: 20, ...options })
  return await new Promise((resolve, reject) => {
    lookup('b2.example', wishes as never, (error, ...found) => error === null ? resolve(found) : reject(error))
  })
}

const noResolver = async (): Promise<never> => { throw new Error('not needed') }
const never = (): void => {}
const fails: NonNullable<NameLookupOptions['system']> = (_hostname, _options, callback) => callback(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), [])

t.test('the system is asked first, and its word counts', async t => {
  const asked: unknown[] = []
  const system: NameLookupOptions['system'] = (hostname, options, callback) => {
    asked.push([hostname, options])
    callback(null, HERE)
  }
  t.same(await ask({ system, resolver: noResolver }), [HERE])
  t.same(await ask({ system, resolver: noResolver }, { family: 4 }), ['192.0.2.1', 4], 'for those who want one')
  t.same(asked, [['b2.example', { all: true }], ['b2.example', { family: 4, all: true }]])
  await t.rejects(ask({ system: fails, resolver: async () => THERE }), { code: 'ENOTFOUND' })
})

t.test('when it does not answer, the resolver that needs no thread is asked, and the first answer counts', async t => {
  t.same(await ask({ system: never, resolver: async () => THERE }), [THERE])
  const late: NameLookupOptions['system'] = (_hostname, _options, callback) => { setTimeout(callback, 40, null, HERE) }
  t.same(await ask({ system: late, resolver: async () => THERE }), [THERE])
  t.same(await ask({ system: late, resolver: noResolver }), [HERE])
  const lateToFail: typeof fails = (...values) => { setTimeout(() => fails(...values), 40) }
  await t.rejects(ask({ system: lateToFail, resolver: noResolver }), { code: 'ENOTFOUND' })
})

t.test('while it does not answer it is not asked again, and nobody waits for it again', async t => {
  let asked = 0
  let answer = (): void => {}
  const system: NameLookupOptions['system'] = (_hostname, _options, callback) => {
    asked++
    answer = () => callback(null, HERE)
  }
  const lookup = createNameLookup({ patienceMs: 20, system, resolver: async () => THERE })
  const once = async (): Promise<unknown> => await new Promise(resolve => lookup('b2.example', { all: true }, (_error, found) => resolve(found)))
  t.same(await Promise.all([once(), once()]), [THERE, THERE])
  t.same(await once(), THERE)
  t.equal(asked, 1)
  answer()
  await null
  const next = once()
  t.equal(asked, 2)
  answer()
  t.same(await next, HERE)
})
