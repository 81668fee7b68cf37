import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CreateMultipartUploadCommand, DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import type { Test } from 'tap'
import { filenameOf } from './clients/client.ts'
import type { Outcome } from './clients/client.ts'
import { contentOf, sha256Of } from './clients/content.ts'
import { Expectations } from './judge/expected.ts'
import type { Expected, Fate } from './judge/expected.ts'
import { assertPromised, settleDoubts, strayThings } from './judge/inspect.ts'
import { judgeUpload } from './judge/judge.ts'
import { Violation } from './judge/violation.ts'
import { setUp } from '../support/b2/emulator-client.ts'

const SIZE = 1_000
const IN_B2 = 'tracks/in-b2.bin'
const LOCAL = 'tracks/local.bin'
const OTHER = 'tracks/other.bin'

function contentOfFile (id: string): Buffer {
  return Buffer.concat(contentOf(id, SIZE))
}

function expectedOf (id: string, fate: Fate, key: string | undefined, storage?: 'b2' | 'local'): Expected {
  return {
    upload: { id, to: 'A', method: 'PUT', size: SIZE, announced: true, pace: { kind: 'burst' } },
    sha256: sha256Of(contentOf(id, SIZE)),
    by: { lines: [], ending: undefined } as unknown as Expected['by'],
    fate,
    key,
    storage,
    uploadId: undefined,
    isComplete: true,
    wasAnswered: fate === 'promised',
    mayLackLine: false,
  }
}

/** A file that was stored in B2 and, with `both`, one that fell back; both are as they should be. */
async function setScene (t: Test, { both = false } = {}) {
  const { emulator: b2, client } = await setUp(t)
  const directory = t.testdir({ tracks: {} })
  const expectations = new Expectations()
  const send = {
    put: async (Key: string, Body: Uint8Array, Metadata: Record<string, string> = { filename: filenameOf('one'), receipt: '{}' }) =>
      await client.send(new PutObjectCommand({ Bucket: b2.bucket, Key, Body, Metadata })),
    hide: async (Key: string) => await client.send(new DeleteObjectCommand({ Bucket: b2.bucket, Key })),
    begin: async (Key: string) => await client.send(new CreateMultipartUploadCommand({ Bucket: b2.bucket, Key })),
  }
  const keep = (name: string, content: Uint8Array | string): void => writeFileSync(join(directory, name), content)
  expectations.add(expectedOf('one', 'promised', IN_B2, 'b2'))
  await send.put(IN_B2, contentOfFile('one'))
  if (both) {
    expectations.add(expectedOf('two', 'promised', LOCAL, 'local'))
    keep(LOCAL, contentOfFile('two'))
    keep(`${LOCAL}.receipt.json`, '{}')
  }
  return { scene: { b2, directory, expectations, orphans: new Set<string>() }, expectations, directory, keep, ...send }
}

/** Kind of the promise that was broken, as the model sees it; undefined where none was. */
async function broken (checks: Promise<void>): Promise<string | undefined> {
  try {
    await checks
    return undefined
  } catch (error) {
    if (error instanceof Violation) return error.kind
    throw error
  }
}

type Scene = Awaited<ReturnType<typeof setScene>>

t.test('a promised file that is lost, cut or changed is noticed', async t => {
  const cases: Record<string, [kind: string, spoil: (stage: Scene) => unknown]> = {
    'B2 lost it': ['lost-file', ({ hide }) => hide(IN_B2)],
    'it is not where it was said to be': ['lost-file', async ({ hide, keep }) => {
      await hide(IN_B2)
      keep(IN_B2, contentOfFile('one'))
      keep(`${IN_B2}.receipt.json`, '{}')
    }],
    'B2 cut it': ['wrong-bytes', ({ put }) => put(IN_B2, contentOfFile('one').subarray(1))],
    'the disk lost it': ['lost-file', ({ directory }) => rmSync(join(directory, LOCAL))],
    'the disk lost its receipt': ['lost-file', ({ directory }) => rmSync(join(directory, `${LOCAL}.receipt.json`))],
    'the disk cut it': ['lost-file', ({ keep }) => keep(LOCAL, contentOfFile('two').subarray(1))],
    'the disk changed it': ['wrong-bytes', ({ keep }) => keep(LOCAL, contentOfFile('three'))],
    'its promotion cut it': ['wrong-bytes', async ({ put, directory }) => {
      await put(LOCAL, contentOfFile('two').subarray(1))
      rmSync(join(directory, LOCAL))
    }],
  }
  for (const [name, [kind, spoil]] of Object.entries(cases)) {
    await t.test(name, async t => {
      const stage = await setScene(t, { both: true })
      await assertPromised(stage.scene)
      await spoil(stage)
      t.equal(await broken(assertPromised(stage.scene)), kind)
    })
  }
})

t.test('all that is left behind is noticed', async t => {
  const cases: Record<string, [said: RegExp, leave: (stage: Scene) => unknown]> = {
    'an object that nobody was promised': [/^the object tracks\/other.bin .* its upload is unknown$/m, ({ put }) => put(OTHER, contentOfFile('two'))],
    'the object of an upload that was refused': [/its upload is unknown$/m, async ({ put, expectations }) => {
      expectations.add(expectedOf('two', 'absent', undefined))
      await put(OTHER, contentOfFile('two'), { filename: filenameOf('two'), receipt: '{}' })
    }],
    'half of a file of which nobody was told': [/of two has other bytes$/m, async ({ put, expectations }) => {
      expectations.add(expectedOf('two', 'perhaps', undefined))
      await put(OTHER, contentOfFile('two').subarray(1), { filename: filenameOf('two'), receipt: '{}' })
    }],
    'the object of a file that was deleted': [/its upload is removed$/m, ({ expectations }) => { expectations.get('one')!.fate = 'removed' }],
    'a second version': [/in-b2.bin has 2 versions$/m, ({ put }) => put(IN_B2, contentOfFile('one'))],
    'an object without its receipt': [/other.bin has no receipt$/m, ({ put, expectations }) => {
      expectations.add(expectedOf('two', 'promised', OTHER, 'b2'))
      return put(OTHER, contentOfFile('two'), { filename: filenameOf('two') })
    }],
    'a receipt without its file': [/^the receipt tracks\/other.bin.receipt.json is alone$/m, ({ put }) => put(`${OTHER}.receipt.json`, Buffer.from('{}'))],
    'an unfinished upload': [/^the upload \S+ of tracks\/other.bin is unfinished/m, ({ begin }) => begin(OTHER)],
    'a temporary file': [/^the file tracks\/.local.bin.part is in local storage$/m, ({ keep }) => keep('tracks/.local.bin.part', '')],
    'a note': [/^the file .leftovers\/x.json is in local storage$/m, ({ keep, directory }) => {
      mkdirSync(join(directory, '.leftovers'))
      keep('.leftovers/x.json', '{}')
    }],
    'a promised file that was not promoted': [/^the file tracks\/local.bin is in local storage$/m, ({ keep }) => keep(LOCAL, contentOfFile('two'))],
  }
  for (const [name, [said, leave]] of Object.entries(cases)) {
    await t.test(name, async t => {
      const stage = await setScene(t)
      t.same(await strayThings(stage.scene), [])
      await leave(stage)
      t.match((await strayThings(stage.scene)).join('\n'), said)
    })
  }
})

t.test('a whole file of which nobody was told is promised once all has come to rest', async t => {
  const { scene, expectations, put } = await setScene(t)
  expectations.add(expectedOf('two', 'perhaps', undefined))
  t.same(await strayThings(scene), [])
  await put(OTHER, contentOfFile('two'), { filename: filenameOf('two'), receipt: '{}' })
  t.same(await strayThings(scene), [])
  expectations.add(expectedOf('three', 'perhaps', undefined))
  settleDoubts(scene)
  t.match(expectations.get('two'), { fate: 'promised', key: OTHER })
  t.match(expectations.get('three'), { fate: 'absent' })
})

t.test('an answer that may not be is noticed', async t => {
  const env = { UPLOAD_MAX_BYTES: '10000', B2_PART_BYTES: '500' }
  const judge = async (status: number, body: object, hadTrouble = false): Promise<void> => {
    const outcome: Outcome = { kind: 'answered', status, headers: {}, body: Buffer.from(JSON.stringify(body)), isWhole: true }
    await judgeUpload(expectedOf('one', 'running', undefined), outcome, { env, directory: '/storage', hadTrouble, hadDiskTrouble: hadTrouble })
  }
  for (const error_code of ['storage_unavailable', 'fallback_impossible']) {
    t.equal(await broken(judge(503, { error_code })), 'wrong-refusal', 'both stores were well')
    t.equal(await broken(judge(503, { error_code }, true)), undefined)
    t.equal(await broken(judge(500, { error_code }, true)), 'wrong-refusal')
  }
  for (const error_code of ['internal_error', 'shutting_down', 'overloaded', 'file_too_large']) {
    t.equal(await broken(judge(503, { error_code }, true)), 'wrong-refusal', error_code)
  }
  const track = { key: IN_B2, filename: filenameOf('one'), size_bytes: SIZE, sha256: sha256Of(contentOf('one', SIZE)), metadata: {} }
  t.equal(await broken(judge(201, { storage: 'b2', location: IN_B2, track })), undefined)
  t.equal(await broken(judge(201, { storage: 'local', location: `/storage/${IN_B2}`, fallback_from_b2: true, track })), undefined)
  t.equal(await broken(judge(201, { storage: 'local', location: IN_B2, fallback_from_b2: true, track })), 'wrong-receipt')
  t.equal(await broken(judge(201, { storage: 'b2', location: IN_B2, track: { ...track, size_bytes: SIZE - 1 } })), 'wrong-receipt')
  t.equal(await broken(judge(201, { storage: 'b2', location: IN_B2, track: { ...track, sha256: '0' } })), 'wrong-receipt')
})
