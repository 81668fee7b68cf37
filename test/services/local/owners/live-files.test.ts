import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { judgeLiveFiles, type LiveFiles } from '../../../../services/local/owners/live-files.ts'
import type { Inquiry } from '../../../../services/local/owners/owners.ts'
import { stampOf } from '../../../../services/disk/file-system.ts'
import { ownersWith, recordingLog } from '../../../fixtures/local-files.ts'

async function build (t: Test, count: number) {
  const root = t.testdir()
  const paths = Array.from({ length: count }, (_, index) => join(root, String(index)))
  for (const path of paths) writeFileSync(path, '')
  const files = await Promise.all(paths.map(async path => ({ path, stamp: await stampOf(nodeFs, path) })))
  const log = recordingLog()
  const judge = async (live: LiveFiles, inquiry: Partial<Inquiry> = {}, isOpenHere = (_path: string) => false) =>
    await judgeLiveFiles({ fs: nodeFs, delayMs: 10, isOpenHere, owners: ownersWith(inquiry), log }, live)
  return { root, paths, files, log, judge }
}

t.test('what nobody has is abandoned; what changed, is open here or is another\'s is not', async t => {
  const { paths, files, log, judge } = await build(t, 5)
  utimesSync(paths[1]!, 1_000, 1_000)
  await nodeFs.rm(paths[4]!)
  const { abandoned, undecided } = await judge({ files, looks: 1 }, { alive: new Set([paths[2]!]) }, path => path === paths[3])
  t.same([abandoned, undecided.files, log.lines], [[files[0]], [], []])
})

t.test('while somebody who lives does not answer, what looks the same is undecided, however long', async t => {
  const { paths, files, judge } = await build(t, 3)
  const silent = { isSilent: true, alive: new Set([paths[1]!]) }
  let live: LiveFiles = { files, looks: 1 }
  for (let look = 1; look < 50; look++) {
    const judged = await judge(live, silent)
    t.same(judged.abandoned, [])
    live = judged.undecided
    t.same(live, { files: [files[0], files[2]], owners: [], looks: look + 1 })
  }
  t.same((await judge(live)).abandoned, [files[0], files[2]])
})

for (const [patienceMs, looks] of [[1, 10], [100, 10], [250, 25]] as const) {
  t.test(`where an owner who can't be asked may stand still for ${patienceMs / 10} looks, ${looks} must be the same`, async t => {
    const { root, paths, files, judge } = await build(t, 2)
    const [idle, living] = [join(root, 'idle'), join(root, 'living')]
    for (const path of [idle, living]) mkdirSync(path)
    let live: LiveFiles = { files, looks: 1 }
    const elsewhere = { patienceMs, elsewhere: [idle, living] }
    for (let look = 1; look < looks; look++) {
      const { abandoned, undecided } = await judge(live, elsewhere)
      t.same(abandoned, [])
      live = undecided
      if (look === 3) for (const path of [paths[1]!, living]) utimesSync(path, 1_000, 1_000)
    }
    t.same((await judge(live, elsewhere)), { abandoned: [files[0]], undecided: { files: [], owners: [], looks } })
    t.same((await nodeFs.readdir(root)).sort(), ['0', '1', 'living'], 'and the owner who was not seen to live is off the register')
  })
}

t.test('the dead go off the register; what can\'t be judged stays', async t => {
  const { root, files, log, judge } = await build(t, 1)
  const dead = join(root, 'dead')
  mkdirSync(dead)
  const denied = Object.assign(new Error('no'), { code: 'EACCES' })
  const fs = { ...nodeFs, lstat: async () => { throw denied }, rmdir: async () => { throw denied } } as unknown as typeof nodeFs
  const stuck = await judgeLiveFiles({ fs, delayMs: 10, isOpenHere: () => false, owners: ownersWith({ dead: [dead], elsewhere: ['x'] }), log }, { files, looks: 1 })
  t.same(stuck.abandoned, [])
  t.match(log.lines, [{ level: 'warn', facts: { err: denied } }, { level: 'warn', facts: { err: denied } }])
  for (let time = 0; time < 2; time++) await judge({ files, looks: 1 }, { dead: [dead] })
  t.same(await nodeFs.readdir(root), ['0'])
  t.equal(log.lines.length, 2, 'one that is gone already is no trouble')
})
