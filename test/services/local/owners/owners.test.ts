import { once } from 'node:events'
import { mkdirSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { machineId } from '../../../../services/local/owners/owner-socket.ts'
import { createOwners, type OwnersOptions } from '../../../../services/local/owners/owners.ts'
import { recordingLog } from '../../../fixtures/local-files.ts'

const skip = process.platform !== 'linux' && 'only Linux has the sockets'
const ID = '5d7d1c0e-5f6e-4c3b-8f0a-1d2c3b4a5968'
const NOBODY = { alive: new Set(), isSilent: false, patienceMs: 0, dead: [], elsewhere: [] }

function build (t: Test, root: string, files: string[] = [], options: Partial<OwnersOptions> = {}) {
  const log = recordingLog()
  const owners = createOwners({ fs: nodeFs, root, patienceMs: 4_000, isOurs: path => files.includes(path), log, ...options })
  t.teardown(() => owners.close())
  return { owners, log }
}

const registered = (root: string): string[] => readdirSync(join(root, '.owners')).sort()

t.test('an owner is on the register from its announcement to its close, and says what is its', { skip }, async t => {
  const root = t.testdir()
  const files = Array.from({ length: 2_500 }, (_, index) => join(root, 'tracks', `.${index}.part`))
  const [own, others] = [files.filter((_, index) => index % 2 === 0), files.filter((_, index) => index % 2 === 1)]
  const [first, second] = [build(t, root, own), build(t, root, others)]
  t.same(await first.owners.ask(files), NOBODY, 'no register, nobody')
  for (let time = 0; time < 2; time++) await first.owners.announce()
  t.match(registered(root), [new RegExp(`^${machineId()}\\.[0-9a-f-]{36}\\.4000$`)])
  t.same(await first.owners.ask(files), NOBODY, 'it does not ask itself')
  t.same(await second.owners.ask(files), { ...NOBODY, alive: new Set(own) })
  await second.owners.announce()
  t.same(await first.owners.ask(files), { ...NOBODY, alive: new Set(others) })
  t.same(await first.owners.ask([]), NOBODY)

  rmSync(join(root, '.owners'), { recursive: true })
  t.same(await second.owners.ask(files), NOBODY)
  await first.owners.announce()
  t.equal(registered(root).length, 1, 'it is there again with its next file')
  utimesSync(join(root, '.owners', registered(root)[0]!), 1_000, 1_000)
  await first.owners.touch()
  t.ok(statSync(join(root, '.owners', registered(root)[0]!)).mtimeMs > 1_000_000)
  await first.owners.close()
  t.same(readdirSync(root), [])
  await second.owners.close()
})

t.test('one that was killed is dead, one that does not answer is not, and of one elsewhere nobody knows', { skip }, async t => {
  const root = t.testdir({ '.owners': {} })
  const { owners } = build(t, root)
  const [here, there, none] = [`${machineId()}.${ID}.90000`, `0123456789abcdef.${ID}.70000`, `elsewhere.${ID}.80000`]
  for (const name of [here, there, none, 'foreign', `${machineId()}.${ID}`]) mkdirSync(owners.entry(name))
  const answer = await owners.ask([join(root, 'a')])
  t.same({ ...answer, elsewhere: [...answer.elsewhere].sort() }, { ...NOBODY, patienceMs: 80_000, dead: [here], elsewhere: [there, none] })

  for (const [how, act] of Object.entries({
    'breaks off': (socket: net.Socket) => { socket.destroy() },
    'says nothing': (socket: net.Socket) => { socket.end() },
    'talks nonsense': (socket: net.Socket) => { socket.end('{"a":1}') },
    'says too much': (socket: net.Socket) => { socket.end(JSON.stringify(['x'.repeat(5_000_000)])) },
    hangs: () => {},
  })) {
    const server = net.createServer(socket => { act(socket.on('error', () => {}).resume()) }).listen({ path: `\0fastify-b2-uploads/${ID}` })
    await once(server, 'listening')
    const { isSilent, dead, alive } = await owners.ask([join(root, 'a')])
    t.same([isSilent, dead, alive.size], [true, [], 0], how)
    server.close()
    await once(server, 'close')
  }
})

t.test('a stranger on the machine gets no list, and can\'t stop it from answering', { skip }, async t => {
  const root = t.testdir()
  const file = join(root, 'a')
  const { owners } = build(t, root, [file])
  await owners.announce()
  const id = registered(root)[0]!.split('.')[1]
  const ask = async (text: string): Promise<string> => {
    const socket = net.connect({ path: `\0fastify-b2-uploads/${id}` }).on('error', () => {})
    socket.end(text)
    let answer = ''
    socket.on('data', more => { answer += more })
    await new Promise(resolve => { socket.on('close', resolve) })
    return answer
  }
  for (const text of ['', 'nonsense', '{}', '[1]', '"x"', `["${'x'.repeat(5_000_000)}`]) t.equal(await ask(text), '', text.slice(0, 10))
  t.equal(await ask('["b","../a","a"]'), '["a"]')
  t.same((await build(t, root).owners.ask([file])).alive, new Set([file]))
})

t.test('an owner that can\'t be put on the register goes on, and says so once', async t => {
  const root = t.testdir()
  const denied = Object.assign(new Error('no'), { code: 'EACCES' })
  const mkdir = (async () => { throw denied }) as unknown as typeof nodeFs.mkdir
  const { owners, log } = build(t, root, [], { fs: { ...nodeFs, mkdir } })
  for (let time = 0; time < 2; time++) await owners.announce()
  await owners.touch()
  t.match(log.lines, [{ level: 'warn', facts: { err: denied } }])
  t.equal(log.lines.length, 1)
  const gone = build(t, join(root, 'gone'))
  await gone.owners.announce()
  t.same([readdirSync(root), gone.log.lines], [[], []], 'nor does it make a directory that is gone')
})

t.test('a register that can\'t be read is an error: then nobody may be taken for dead', async t => {
  const readdir = (async () => { throw Object.assign(new Error('no'), { code: 'EIO' }) }) as unknown as typeof nodeFs.readdir
  await t.rejects(build(t, t.testdir(), [], { fs: { ...nodeFs, readdir } }).owners.ask([]), { code: 'EIO' })
})
