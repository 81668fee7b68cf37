import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { filesIn, isPromoted, KIB, MIB } from '../support/promotion/promotion.ts'
import { emptyDirectory, promote, setCommandStage } from '../support/promotion/promote-command.ts'

t.test('--json prints one JSON object and nothing else', async t => {
  const { b2, service, fallBack, run } = await setCommandStage(t)
  const nothing = { files: [], promoted: 0, failed: 0, set_aside: 0, skipped: 0, elsewhere: 0, pending: 0, bytes: 0 }
  t.same(await run('--json'), { code: 0, stdout: `${JSON.stringify(nothing)}\n`, stderr: '' })

  const stored = [await fallBack(KIB), await fallBack(6 * MIB), await fallBack(KIB)]
  const [first, second] = stored
  b2.fault({ operation: 'CreateMultipartUpload', status: 503 })
  const { code, stdout, stderr } = await run('--json')
  t.equal(code, 1)
  t.match(stdout, /^\{.*\}\n$/, 'one line')
  t.match(JSON.parse(stdout), {
    promoted: 1,
    failed: 1,
    set_aside: 0,
    skipped: 0,
    pending: 2,
    bytes: KIB,
    files: [
      { key: first!.key, outcome: 'promoted', size_bytes: KIB },
      { key: second!.key, outcome: 'failed', size_bytes: 6 * MIB, error_code: 'service_unavailable', detail: String },
    ],
  })
  t.match(stderr, new RegExp(`^2/3 failed ${second!.key} \\(\\d+ bytes\\): .+ \\[service_unavailable\\]\n$`))
  t.match(JSON.parse((await run('--json')).stdout), { promoted: 2, pending: 0 })
  await isPromoted(t, b2, service, stored)
})

t.test('--dry-run names the files and does nothing, neither in the directory nor in B2', async t => {
  const { b2, service, fallBack, run } = await setCommandStage(t)
  const { key } = await fallBack(KIB)
  await mkdir(join(service.dir, '.leftovers'), { recursive: true })
  await writeFile(join(service.dir, '.leftovers/0197a3f0-0000-7000-8000-000000000000.json'), JSON.stringify({ bucket: b2.bucket, kind: 'object', key: 'tracks/0197a3f0-0000-7000-8000-000000000001.mp3', noted_at: new Date().toISOString() }))
  const before = await service.localFiles()
  const requests = b2.requests.length

  t.same(await run('--dry-run'), {
    code: 0,
    stdout: `1/1 to be promoted ${key} (1024 bytes)\n1 to be promoted (1024 bytes) in ${service.dir}.\n`,
    stderr: '',
  })
  const { code, stdout } = await run('--dry-run', '--json')
  t.equal(code, 0)
  t.same(JSON.parse(stdout), { promoted: 0, failed: 0, set_aside: 0, skipped: 0, elsewhere: 0, pending: 1, bytes: KIB, files: [{ key, outcome: 'pending', size_bytes: KIB }] })
  t.equal(b2.requests.length, requests)
  t.same(await service.localFiles(), before)
})

t.test('--help goes to standard output, whatever the environment', async t => {
  for (const args of [['--help'], ['-h', '--json']]) {
    const { code, stdout, stderr } = await promote(t, args, { PORT: 'bad' })
    t.equal(code, 0)
    for (const word of ['Usage: ', '--dry-run', '--retry-set-aside', '--json', '--verbose', 'Exit code']) t.match(stdout, word)
    t.equal(stderr, '')
  }
})

t.test('wrong options and a wrong configuration are code 2, with a message on standard error', async t => {
  const rows: [string, string[], Record<string, string>, RegExp[]][] = [
    ['an unknown option', ['--frobnicate'], {}, [/--frobnicate/, /--help/]],
    ['an argument', ['tracks/a.mp3'], {}, [/tracks\/a\.mp3/, /--help/]],
    ['no B2', ['--json'], { B2_BUCKET: 'b' }, [/B2_ENDPOINT/, /B2_APPLICATION_KEY_ID/, /B2_APPLICATION_KEY /]],
    ['no B2 in production', [], { ENV: 'production', B2_BUCKET: 'b' }, [/B2_ENDPOINT/, /B2_APPLICATION_KEY_ID/]],
    ['bad values', [], { B2_PART_BYTES: '1', B2_MAX_ATTEMPTS: 'many' }, [/B2_PART_BYTES/, /B2_MAX_ATTEMPTS/]],
  ]
  await Promise.all(rows.map(async ([name, args, env, messages]) => {
    const { code, stdout, stderr } = await promote(t, args, env)
    t.equal(code, 2, name)
    t.equal(stdout, '')
    for (const message of messages) t.match(stderr, message)
    t.notMatch(stderr, /\n\s+at |B2_BUCKET/, 'neither a stack nor what is not wrong')
  }))
})

t.test('a directory that is not there is said so and not made, and one that can\'t be used is code 1', async t => {
  const { service, env } = await setCommandStage(t)
  const missing = join(service.dir, 'missing')
  const { code, stdout, stderr } = await promote(t, [], { ...env, LOCAL_STORAGE_DIR: missing })
  t.equal(code, 0)
  t.equal(stdout, `Nothing to promote in ${missing}.\n`)
  t.match(stderr, `There is no directory ${missing}.`)
  t.notOk(existsSync(missing))

  const file = join(service.dir, 'file')
  await writeFile(file, '')
  for (const args of [[], ['--dry-run']]) {
    const { code, stdout, stderr } = await promote(t, args, { ...env, LOCAL_STORAGE_DIR: file })
    t.equal(code, 1)
    t.equal(stdout, '')
    t.match(stderr, /^The local (storage )?directory .+\n$/)
  }
})

t.test('a damaged file is named and set aside, until it is mended and asked for', async t => {
  const { b2, service, fallBack, run } = await setCommandStage(t)
  const bad = await fallBack(KIB)
  const good = await fallBack(KIB)
  const path = join(service.dir, bad.key)
  const file = await open(path, 'r+')
  await file.write(Buffer.from([bad.content[0]! ^ 1]), 0, 1, 0)
  await file.close()

  const first = await run()
  t.equal(first.code, 1)
  t.match(first.stderr, new RegExp(`^1/2 set aside ${bad.key} \\(1024 bytes\\): The file's sha256 is .+ \\[checksum_mismatch\\]\n$`))
  t.match(first.stdout, `1 promoted (1024 bytes), 1 set aside; 1 left in ${service.dir}.\n`)
  const damaged = await readFile(path)
  t.same(filesIn(b2).map(({ key }) => key), [good.key])

  const dry = await run('--dry-run')
  t.match(dry.stderr, new RegExp(`^1/1 set aside ${bad.key} .*: The file's sha256 is`))
  t.match(dry.stdout, `0 to be promoted (0 bytes), 1 set aside in ${service.dir}.\n`)
  t.match(await run('--retry-set-aside'), { code: 1, stderr: /set aside/ }, 'it is damaged still')
  t.same(await readFile(path), damaged)

  await writeFile(path, bad.content)
  t.equal((await run()).code, 1, 'nobody asked for it')
  t.match(await run('--retry-set-aside'), { code: 0, stderr: '' })
  await isPromoted(t, b2, service, [bad, good])
})

t.test('--verbose logs on standard error, without a secret, and leaves standard output as it is', async t => {
  const { b2, fallBack, run } = await setCommandStage(t)
  const { key } = await fallBack(KIB)
  b2.fault({ operation: 'HeadObject', status: 403 })
  const { stdout, stderr } = await run('--verbose', '--json')
  t.match(JSON.parse(stdout), { failed: 1 })
  const log = stderr.split('\n').filter(line => line.startsWith('{')).map(line => JSON.parse(line))
  t.match(log.filter(({ event }) => event === 'promotion.failed'), [{ level: 40, key, error_code: 'access_denied', hints: [/readFiles/] }])
  for (const secret of Object.values(b2.credentials)) t.notMatch(stdout + stderr, secret)
})

t.test('a .env file in the working directory configures it, wherever that is', async t => {
  const { b2, service, env, fallBack } = await setCommandStage(t)
  const stored = [await fallBack(KIB)]
  const cwd = await emptyDirectory(t)
  await writeFile(join(cwd, '.env'), Object.entries(env).map(([name, value]) => `${name}=${value}\n`).join(''))
  t.match(await promote(t, [], { ENV: 'production' }, cwd), { code: 2, stderr: /B2_ENDPOINT/ }, 'not in production')
  t.match(await promote(t, [], {}, cwd), { code: 0, stderr: '' })
  await isPromoted(t, b2, service, stored)
})

t.test('it does its work though nobody reads what it prints', async t => {
  const { b2, service, fallBack, begin } = await setCommandStage(t)
  const stored = [await fallBack(KIB), await fallBack(KIB)]
  const { child, ended } = await begin()
  child.stdout!.destroy()
  child.stderr!.destroy()
  await once(child, 'exit')
  t.match(await ended, { code: 0 })
  await isPromoted(t, b2, service, stored)
})
