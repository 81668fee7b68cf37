import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { survey, type Survey } from '../../../../services/local/waiting/survey.ts'
import { Tally } from '../../../../services/local/waiting/tally.ts'
import { filesBelow, newKey, newReceipt, put, recordingLog, refusing, sweep, uuidV7 } from '../../../fixtures/local-files.ts'

// The sweep's own timer does not keep a process alive.
const alive = setInterval(() => {}, 10_000)
t.teardown(() => clearInterval(alive))

/** Runs `between` between the two looks: the first look is over when the last file that it judges has been. */
function fsWithPause (lastPath: string, between: () => void): typeof nodeFs {
  let looked = false
  const lstat = async (path: string, options: object) => {
    const stats = await nodeFs.lstat(path, options)
    if (path === lastPath && !looked) {
      looked = true
      between()
    }
    return stats
  }
  return { ...nodeFs, lstat: lstat as typeof nodeFs.lstat }
}

function write (root: string, ...names: string[]): void {
  for (const name of names) {
    mkdirSync(join(root, name, '..'), { recursive: true })
    writeFileSync(join(root, name), name.endsWith('.receipt.json') ? '{"storage":"local"}' : name)
  }
}

t.test('only part files of our own naming go, wherever they lie', async t => {
  const root = t.testdir()
  const [a, b, c] = [uuidV7(), uuidV7(), uuidV7()]
  const stale = [`tracks/.${a}.mp3.part`, `tracks/deep/.${b}.part`, `.${c}.receipt.json.part`, `tracks/.${a}.mp3.receipt.json.part`, `.probe-${randomUUID()}.part`]
  const foreign = [
    'song.part', '.song.part', '.part', `tracks/${uuidV7()}.part.bak`, `tracks/.${uuidV7()}.mp3`, `tracks/.${uuidV7()}.MP3.part`,
    `tracks/x.${uuidV7()}.part`, `tracks/.${randomUUID()}.part`, 'tracks/notes.receipt.json', `tracks/${randomUUID()}.receipt.json`
  ]
  const whole = [`tracks/${uuidV7()}.part`, `tracks/${uuidV7()}`]
  write(root, ...stale, ...foreign, ...whole, ...whole.map(name => `${name}.receipt.json`))
  mkdirSync(join(root, `.${uuidV7()}.part`))

  t.same(await sweep(root), { partFilesRemoved: stale.length, receiptsRemoved: 0, filesWithoutReceipt: 0 })
  t.same(filesBelow(root), [...foreign, ...whole, ...whole.map(name => `${name}.receipt.json`)].sort())
})

t.test('a part file that changes between the looks has an owner', async t => {
  const root = t.testdir()
  const name = `.${uuidV7()}.mp3.part`
  write(root, name)
  const path = join(root, name)
  // Into the past: what counts is the change, not the clock.
  const report = await sweep(root, { fs: fsWithPause(path, () => utimesSync(path, 1_000, 1_000)) })
  t.equal(report.partFilesRemoved, 0)
  t.same(filesBelow(root), [name])
  t.equal((await sweep(root)).partFilesRemoved, 1, 'until it does no more')
})

t.test('a part file that this process is writing stays, and one that vanishes is no error', async t => {
  const root = t.testdir()
  const [own, vanishing] = [`.${uuidV7()}.part`, `.${uuidV7()}.part`]
  write(root, own, vanishing)
  const log = recordingLog()
  const report = await sweep(root, {
    isOpenHere: path => path === join(root, own),
    fs: fsWithPause(join(root, vanishing), () => rmSync(join(root, vanishing))),
    log
  })
  t.equal(report.partFilesRemoved, 0)
  t.same(filesBelow(root), [own])
  t.same(log.lines, [])
})

t.test('a receipt without its file goes, unless the file can still come', async t => {
  const root = t.testdir()
  const [lost, stale, living, arriving, changing] = Array.from({ length: 5 }, () => uuidV7()) as [string, string, string, string, string]
  const receipts = [lost, stale, living, arriving, changing].map(name => `${name}.receipt.json`)
  write(root, ...receipts, `.${stale}.part`, `.${living}.part`)
  const report = await sweep(root, {
    isOpenHere: path => path === join(root, `.${living}.part`),
    fs: fsWithPause(join(root, `${changing}.receipt.json`), () => {
      write(root, arriving)
      writeFileSync(join(root, `${changing}.receipt.json`), '{ "storage": "local" }')
    })
  })
  t.same(report, { partFilesRemoved: 1, receiptsRemoved: 2, filesWithoutReceipt: 0 })
  t.same(filesBelow(root), [`.${living}.part`, `${living}.receipt.json`, arriving, `${arriving}.receipt.json`, `${changing}.receipt.json`].sort())
})

t.test('a commit that comes between the questions for part file and data file does not lose its receipt', async t => {
  const root = t.testdir()
  const name = uuidV7()
  const [part, data] = [join(root, `.${name}.part`), join(root, name)]
  write(root, `.${name}.part`, `${name}.receipt.json`)
  let secondLook = false
  const lstat = async (path: string, options: object) => {
    const answer = await nodeFs.lstat(path, options).finally(async () => {
      if (secondLook && (path === part || path === data)) await nodeFs.rename(part, data).catch(() => {})
    })
    if (path.endsWith('.receipt.json')) secondLook = true // the last of the first look
    return answer
  }
  await sweep(root, { isOpenHere: path => path === part, fs: { ...nodeFs, lstat: lstat as typeof nodeFs.lstat } })
  t.same(filesBelow(root), [name, `${name}.receipt.json`])
})

t.test('a receipt whose file was there at the first look is left to the next sweep', async t => {
  const root = t.testdir()
  const name = uuidV7()
  write(root, name, `${name}.receipt.json`)
  const removing = async (): Promise<Survey> => await survey({ fs: nodeFs, root, tally: new Tally(), signal: new AbortController().signal }).finally(() => rmSync(join(root, name)))
  t.same((await sweep(root, { survey: removing })).receiptsRemoved, 0)
  t.same(filesBelow(root), [`${name}.receipt.json`])
  t.same((await sweep(root)).receiptsRemoved, 1)
})

t.test('receipts that were kept or cannot be read stay; notes that belong to nothing go', async t => {
  const root = t.testdir()
  const [kept, damaged, foreign, stored, bare] = [newKey(), newKey(), newKey(), newKey(), newKey()]
  for (const [key, receipt] of [[kept, JSON.stringify(newReceipt(kept, 'b2'))], [damaged, '{"half'], [foreign, '{}'], [stored, JSON.stringify(newReceipt(stored))]] as const) {
    put(root, `${key}.receipt.json`, receipt)
  }
  for (const key of [stored, bare]) put(root, key, 'data')
  for (const key of [kept, stored, bare]) put(root, `${key}.set-aside.json`)
  const before = filesBelow(root)
  const [lost, changing] = [newKey(), newKey()]
  put(root, `${lost}.receipt.json`, JSON.stringify(newReceipt(lost)))
  for (const key of [lost, changing, newKey()]) put(root, `${key}.set-aside.json`)
  const path = join(root, `${changing}.set-aside.json`)
  put(root, `.snapshot/.${uuidV7()}.part`)
  t.same(await sweep(root, { fs: fsWithPause(path, () => writeFileSync(path, 'changed')) }), { partFilesRemoved: 0, receiptsRemoved: 1, filesWithoutReceipt: 1 })
  t.same(filesBelow(root).filter(name => !name.startsWith('.snapshot')), [...before, `${changing}.set-aside.json`].sort())
  t.equal(filesBelow(root).length, before.length + 2, 'what lies in a snapshot is not ours')
})

t.test('a file without a receipt is counted and left alone, unless it is gone or has one by the second look', async t => {
  const root = t.testdir()
  const [one, two, gone, described] = [`tracks/${uuidV7()}.mp3`, `tracks/${uuidV7()}`, `tracks/${uuidV7()}`, `tracks/${uuidV7()}`]
  const last = `tracks/.${uuidV7()}.part`
  write(root, one, two, gone, described, last)
  const fs = fsWithPause(join(root, last), () => {
    rmSync(join(root, gone))
    write(root, `${described}.receipt.json`)
  })
  t.equal((await sweep(root, { fs })).filesWithoutReceipt, 2)
  t.same(filesBelow(root), [one, two, described, `${described}.receipt.json`].sort())
})

t.test('a signal ends it between the looks, and nothing is removed', async t => {
  const root = t.testdir()
  const name = `.${uuidV7()}.part`
  write(root, name)
  const stop = new AbortController()
  const fs = fsWithPause(join(root, name), () => { setImmediate(() => stop.abort()) })
  await t.rejects(sweep(root, { fs, delayMs: 3_600_000, signal: stop.signal }), { name: 'AbortError' })
  t.same(filesBelow(root), [name])
})

t.test('what cannot be removed or searched is reported, and the rest still goes', async t => {
  const root = t.testdir()
  const [first, second] = [`.${uuidV7()}.part`, `closed/.${uuidV7()}.part`]
  const third = `.${uuidV7()}.part`
  write(root, first, second, third)
  const log = recordingLog()
  const denied = Object.assign(new Error('no'), { code: 'EACCES' })
  const fs = {
    ...nodeFs,
    unlink: async (path: string) => { if (path.endsWith(first)) throw denied; await nodeFs.unlink(path) },
    ...refusing(path => path.endsWith('closed'), denied, 'opendir'),
  } as unknown as typeof nodeFs
  t.equal((await sweep(root, { fs, log })).partFilesRemoved, 1)
  t.same(filesBelow(root), [first, second].sort())
  t.match(log.lines, [{ level: 'warn', facts: { err: denied } }, { level: 'warn', facts: { err: denied } }])
  t.equal(log.lines.length, 2)
})
