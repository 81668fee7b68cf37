import { readFileSync } from 'node:fs'
import nodeFs from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { createLocalStore, type LocalStore } from '../../../../services/local/store.ts'
import { freezingFs } from '../../../fixtures/freezing-fs.ts'
import { all, filesBelow, newKey, newReceipt, sweep, storeFile } from '../../../fixtures/local-files.ts'

// The sweep's own timer does not keep a process alive.
const alive = setInterval(() => {}, 10_000)
t.teardown(() => clearInterval(alive))

interface Case {
  /** What was there before. */
  before?: (store: LocalStore, key: string) => Promise<unknown>
  killed: (store: LocalStore, key: string) => Promise<unknown>
  /** What the next start may find, as told by `stateOf`. The first was before, the last is when nothing was killed. */
  states: string[]
}

const CASES: Record<string, Case> = {
  'storing a file': { killed: storeFile, states: ['nothing', 'file'] },
  'keeping a receipt': { killed: (store, key) => store.keepReceipt(key, newReceipt(key, 'b2')), states: ['nothing', 'receipt'] },
  'setting a file aside': { before: storeFile, killed: (store, key) => store.setAside(key, 'new'), states: ['file', 'file set aside: new'] },
  'setting a file aside again': {
    before: async (store, key) => { await storeFile(store, key); await store.setAside(key, 'old') },
    killed: (store, key) => store.setAside(key, 'new'),
    states: ['file set aside: old', 'file set aside: new']
  },
  'taking a file up': {
    before: async (store, key) => { await storeFile(store, key); await store.setAside(key, 'old') },
    killed: (store, key) => store.takeUp(key),
    states: ['file set aside: old', 'file']
  },
  'removing a file that is set aside': {
    before: async (store, key) => { await storeFile(store, key); await store.setAside(key, 'old') },
    killed: (store, key) => store.remove(key),
    states: ['file set aside: old', 'nothing']
  },
  'removing a kept receipt': {
    before: (store, key) => store.keepReceipt(key, newReceipt(key, 'b2')),
    killed: (store, key) => store.remove(key),
    states: ['receipt', 'nothing']
  },
  'claiming and releasing': {
    before: storeFile,
    killed: async (store, key) => { await (await store.claim(key))?.release() },
    states: ['file']
  },
  'taking a claim over': {
    before: async (store, key) => { await storeFile(store, key); await nodeFs.writeFile(claimOf(store, key), '') },
    killed: async (store, key) => { await (await store.claim(key))?.release() },
    states: ['file']
  }
}

function claimOf (store: LocalStore, key: string): string {
  return store.location(key).replace(/([^/]+)$/, '.$1.claim')
}

/** What the next process sees in the directory, which has to agree with itself and with the files there. */
async function stateOf (t: Test, dir: string, key: string): Promise<string> {
  const store = createLocalStore({ dir, claimDelayMs: 50 })
  const found = await store.find(key)
  const pending = await all(store.pending())
  const claim = await store.claim(key)
  t.ok(claim !== undefined || found === undefined, 'can be claimed')
  await claim?.release()
  const names = filesBelow(dir)
  const setAside = found?.setAside === undefined ? '' : ` set aside: ${found.setAside}`
  await store.close()

  const expected = found === undefined ? [] : [...(found.kind === 'file' ? [key] : []), `${key}.receipt.json`, ...(setAside === '' ? [] : [`${key}.set-aside.json`])]
  t.same(names, expected)
  t.same(pending, found === undefined ? [] : [{ key, kind: found.kind, setAside: found.setAside }])
  if (found?.kind === 'file') t.equal(readFileSync(join(dir, key), 'utf8'), 'data')
  return found === undefined ? 'nothing' : `${found.kind}${setAside}`
}

for (const [name, { before, killed, states }] of Object.entries(CASES)) {
  t.test(`${name}: a kill at any step leaves what the next start reads rightly`, async t => {
    const seen = new Set<string>()
    let steps = 0
    for (let done = false; !done; steps++) {
      const dir = t.testdir()
      const key = newKey()
      const earlier = createLocalStore({ dir, sweepDelayMs: 3_600_000 })
      await before?.(earlier, key)
      await earlier.close()

      const dying = freezingFs(steps)
      // Its sweep would be a living one's.
      const store = createLocalStore({ dir, fs: dying.fs, claimDelayMs: 50, sweepDelayMs: 3_600_000 })
      done = await Promise.race([killed(store, key), dying.frozen]) !== 'killed'
      if (done) await store.close()

      // Twice, since a first look cannot judge all.
      for (let start = 0; start < 2; start++) {
        await sweep(dir)
      }
      const state = await stateOf(t, dir, key)
      t.ok(states.includes(state), `killed after ${steps} steps: ${state}`)
      if (done) t.equal(state, states.at(-1))
      seen.add(state)
      await dying.bury()
    }
    t.ok(steps > 2, `${steps} steps`)
    t.same([...seen], states, 'every state was met')
  })
}
