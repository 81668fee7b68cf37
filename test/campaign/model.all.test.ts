import { createHash } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AbortMultipartUploadCommand, CreateMultipartUploadCommand, DeleteObjectCommand, PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3'
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

function expectedOf (id: string, fate: Fate, key: string | undefined, storage?: Expected['storage']): Expected {
  return {
    upload: { id, to: 'A', method: 'PUT', size: SIZE, announced: true, pace: { kind: 'burst' } },
    sha256: sha256Of(contentOf(id, SIZE)),
    by: { lines: [], ending: undefined, until: async () => undefined } as unknown as Expected['by'],
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

/** A file of three parts: B2 has the second, local storage the others. */
async function setSplit (t: Test) {
  const { emulator: b2, client } = await setUp(t)
  const directory = t.testdir({ tracks: {} })
  const expectations = new Expectations()
  const expected = expectedOf('one', 'promised', LOCAL, 'split')
  expectations.add(expected)
  const content = contentOfFile('one')
  const name = { Bucket: b2.bucket, Key: LOCAL }
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(name))
  const { ETag } = await client.send(new UploadPartCommand({ ...name, UploadId, PartNumber: 2, Body: content.subarray(400, 800) }))
  const own = [content.subarray(0, 400), content.subarray(800)]
  const manifest = {
    upload_id: UploadId!,
    part_bytes: 400,
    b2_parts: [{ number: 2, etag: ETag }],
    local_parts: own.map((bytes, index) => ({ number: index * 2 + 1, bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') })),
  }
  const keep = (rest: Uint8Array, said: object = manifest): void => {
    writeFileSync(join(directory, `${LOCAL}.split-rest`), rest)
    writeFileSync(join(directory, `${LOCAL}.receipt.json`), JSON.stringify({ manifest: said }))
  }
  keep(Buffer.concat(own))
  return {
    scene: { b2, directory, expectations, orphans: new Set<string>() },
    directory,
    expected,
    content,
    manifest,
    rest: Buffer.concat(own),
    keep,
    end: async () => await client.send(new AbortMultipartUploadCommand({ ...name, UploadId })),
    put: async (Body: Uint8Array) => await client.send(new PutObjectCommand({ ...name, Body, Metadata: { filename: filenameOf('one'), receipt: '{}' } })),
  }
}

type SplitScene = Awaited<ReturnType<typeof setSplit>>

t.test('a split file of which anything is missing or changed is noticed', async t => {
  const cases: Record<string, [kind: string | undefined, spoil: (stage: SplitScene) => unknown]> = {
    'nothing is': [undefined, () => {}],
    'the rest is gone': ['lost-file', ({ directory }) => rmSync(join(directory, `${LOCAL}.split-rest`))],
    'its receipt is gone': ['lost-file', ({ directory }) => rmSync(join(directory, `${LOCAL}.receipt.json`))],
    'its parts in B2 are gone': ['lost-file', ({ end }) => end()],
    'the rest is cut': ['wrong-bytes', ({ keep, rest }) => keep(rest.subarray(1))],
    'the rest is another one': ['wrong-bytes', ({ keep, rest }) => keep(Buffer.alloc(rest.byteLength))],
    'nobody has a part': ['wrong-bytes', ({ keep, rest, manifest }) => keep(rest, { ...manifest, b2_parts: [] })],
    'a part has another hash': ['wrong-bytes', ({ keep, rest, manifest: { local_parts: [first, ...others], ...more } }) => keep(rest, { ...more, local_parts: [{ ...first, sha256: '0' }, ...others] })],
    'it was joined': [undefined, async ({ end, put, content, directory }) => {
      await end()
      await put(content)
      rmSync(join(directory, `${LOCAL}.split-rest`))
    }],
    'it was joined wrongly': ['wrong-bytes', ({ put, content }) => put(content.subarray(1))],
  }
  for (const [name, [kind, spoil]] of Object.entries(cases)) {
    await t.test(name, async t => {
      const stage = await setSplit(t)
      await spoil(stage)
      t.equal(await broken(assertPromised(stage.scene)), kind)
    })
  }
})

t.test('a split file that is not joined in the end is noticed, and so is its upload that stays after its deletion', async t => {
  const { scene, expected, manifest, put, content } = await setSplit(t)
  expected.uploadId = manifest.upload_id
  scene.orphans.add(manifest.upload_id) // its process was killed after the answer
  const left = (await strayThings(scene)).join('\n')
  t.match(left, /^one tracks\/local.bin is not in B2 yet$/m)
  t.match(left, /^the upload \S+ of tracks\/local.bin is unfinished/m)
  t.match(left, /^the file tracks\/local.bin.split-rest is in local storage$/m)
  await put(content)
  t.match((await strayThings(scene)).join('\n'), /^the upload \S+ of tracks\/local.bin is unfinished/m)
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
  const failed = { event: 'b2.failed', correlation_id: 'one' }
  const judge = async (status: number, body: object, hadTrouble = false, more: Record<string, string> = {}, lines: object[] = []): Promise<void> => {
    const expected = expectedOf('one', 'running', undefined)
    expected.by.lines.push(...lines as typeof expected.by.lines)
    const outcome: Outcome = { kind: 'answered', status, headers: {}, body: Buffer.from(JSON.stringify(body)), isWhole: true }
    await judgeUpload(expected, outcome, { env: { ...env, ...more }, directory: '/storage', hadTrouble, hadDiskTrouble: hadTrouble })
  }
  const REFUSE = { FALLBACK_BEYOND_WINDOW: 'refuse' }
  for (const error_code of ['storage_unavailable', 'fallback_impossible']) {
    t.equal(await broken(judge(503, { error_code }, false, REFUSE)), 'wrong-refusal', 'both stores were well')
    t.equal(await broken(judge(503, { error_code }, true, REFUSE)), undefined)
    t.equal(await broken(judge(500, { error_code }, true, REFUSE)), 'wrong-refusal')
  }
  for (const error_code of ['internal_error', 'shutting_down', 'overloaded', 'file_too_large']) {
    t.equal(await broken(judge(503, { error_code }, true)), 'wrong-refusal', error_code)
  }
  const track = { key: IN_B2, filename: filenameOf('one'), size_bytes: SIZE, sha256: sha256Of(contentOf('one', SIZE)), metadata: {} }
  for (const [error_code, kind] of [['timeout', 'wrong-refusal'], ['bucket_not_found', undefined], ['invalid_request', undefined]] as const) {
    t.equal(await broken(judge(503, { error_code: 'fallback_impossible' }, true, {}, [{ ...failed, error_code }])), kind, `it could have been split after ${error_code}: ${kind}`)
  }
  const split = { storage: 'split', location: IN_B2, fallback_from_b2: true, split: { b2_bytes: 500, local_bytes: 500 }, track }
  t.equal(await broken(judge(202, split, true)), undefined)
  t.equal(await broken(judge(202, split)), undefined, 'B2 may have been slow')
  t.equal(await broken(judge(202, split, true, REFUSE)), 'wrong-split')
  t.equal(await broken(judge(202, split, true, { B2_PART_BYTES: '1000' })), 'wrong-split', 'it has one part')
  t.equal(await broken(judge(201, split, true)), 'wrong-receipt')
  t.equal(await broken(judge(202, { ...split, split: { b2_bytes: 500, local_bytes: 501 } }, true)), 'wrong-receipt')
  t.equal(await broken(judge(202, { ...split, split: { b2_bytes: 0, local_bytes: 1_000 } }, true)), 'wrong-receipt')
  t.equal(await broken(judge(202, { storage: 'b2', location: IN_B2, track }, true)), 'wrong-receipt')
  t.equal(await broken(judge(201, { storage: 'b2', location: IN_B2, track })), undefined)
  t.equal(await broken(judge(201, { storage: 'local', location: `/storage/${IN_B2}`, fallback_from_b2: true, track })), undefined)
  t.equal(await broken(judge(201, { storage: 'local', location: IN_B2, fallback_from_b2: true, track })), 'wrong-receipt')
  t.equal(await broken(judge(201, { storage: 'b2', location: IN_B2, track: { ...track, size_bytes: SIZE - 1 } })), 'wrong-receipt')
  t.equal(await broken(judge(201, { storage: 'b2', location: IN_B2, track: { ...track, sha256: '0' } })), 'wrong-receipt')
})
