import { rename } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { ogg, wav } from '../../../scripts/samples/audio.ts'
import { bytes, sha256 } from '../../support/run/bytes.ts'
import { UNAVAILABLE } from '../../support/b2/scripted-b2.ts'
import { CORRELATION, KEY, PART, setTransferStage } from '../../support/intake/transfer-stage.ts'

const MIB = 1_048_576
const TAGS = { title: 'Song', artist: 'Who sings' }

function song (size: number): Buffer {
  return wav({ ...TAGS, minBytes: size })
}

for (const [name, size] of [['of one request', MIB], ['within the window', 2 * PART], ['beyond the window', 3 * PART]] as const) {
  t.test(`tags and duration of a file ${name} are read wherever it goes, from what is in memory`, async t => {
    const stage = await setTransferStage(t)
    const content = song(size)
    const seconds = (await stage.transfer(content, { isLocalOnly: true, expectedBytes: content.byteLength }).receipt).track.audio!.duration_seconds
    t.ok(seconds! > 1)
    const expected = { content_type: 'audio/wav', audio: { ...TAGS, container: 'WAVE', duration_seconds: seconds }, sha256: sha256(content) }
    await stage.local.remove(KEY)
    for (const expectedBytes of [content.byteLength, undefined]) {
      const known = expectedBytes === undefined ? {} : { expectedBytes }
      stage.b2.onPut = async () => ({ ok: true, key: '', firstTry: true })
      stage.b2.onPart = (upload, part, last) => {
        upload.acknowledge(part)
        if (last) upload.succeed()
      }
      t.match(await stage.transfer(content, known).receipt, { storage: 'b2', track: expected })
      t.match(await stage.transfer(content, { ...known, isLocalOnly: true }).receipt, { storage: 'local', track: expected })
      await stage.local.remove(KEY)
      stage.b2.onPut = async () => UNAVAILABLE
      stage.b2.onPart = upload => upload.fail()
      t.match(await stage.transfer(content, known).receipt, { storage: 'local', fallback_from_b2: true, track: expected })
      await stage.local.remove(KEY)
      stage.breaker.tryAcquire(true)?.succeed()
    }
  })
}

t.test('what only the end of a file tells is read as long as all of it is in memory', async t => {
  const { b2, transfer } = await setTransferStage(t)
  b2.onPart = (upload, part, last) => {
    upload.acknowledge(part)
    if (last) upload.succeed()
  }
  for (const [size, isKnown] of [[2 * PART, true], [3 * PART, false]] as const) {
    const { track } = await transfer(ogg({ ...TAGS, minBytes: size })).receipt
    t.match(track.audio, { ...TAGS, duration_seconds: isKnown ? Number : null })
  }
})

t.test('what only claims to be audio is not searched for tags', async t => {
  const stage = await setTransferStage(t)
  t.match(await stage.transfer(bytes(1_000), { declaredType: 'audio/wav' }).receipt, { track: { content_type: 'audio/wav', audio: null } })
})

t.test('local storage is told how much will come, where that is known', async t => {
  const stage = await setTransferStage(t)
  const created = t.capture(stage.local, 'create', stage.local.create)
  for (const known of [{ expectedBytes: 10 }, {}]) {
    await stage.transfer(bytes(10), { isLocalOnly: true, ...known }).receipt
    await stage.local.remove(KEY)
  }
  t.match(created().map(({ args }) => args[1]), [{ expectedBytes: 10 }, { expectedBytes: undefined }])
})

t.test('local storage keeps in memory what may have tags, up to the window, and nothing else', async t => {
  for (const [content, least, most] of [[song(4 * PART), 2 * PART, 2 * PART + 3 * MIB], [bytes(4 * PART), 0, 2 * MIB]] as const) {
    const stage = await setTransferStage(t)
    const source = new PassThrough({ highWaterMark: 65_536 })
    const { account, receipt } = stage.transfer(source, { isLocalOnly: true })
    let held = 0
    for (let start = 0; start < content.byteLength; start += 65_536) {
      if (!source.write(content.subarray(start, start + 65_536))) await new Promise(resolve => source.once('drain', resolve))
      held = Math.max(held, account.heldBytes)
    }
    source.end()
    t.equal((await receipt).track.sha256, sha256(content))
    t.ok(held > least && held <= most, `${held} bytes`)
    t.equal(account.heldBytes, 0)
  }
})

t.test('a buffer that was begun for B2 is filled before another is taken', async t => {
  const stage = await setTransferStage(t)
  const source = new PassThrough({ highWaterMark: 8 * PART })
  const { account, intake, receipt } = stage.transfer(source)
  source.write(bytes(PART))
  source.write(bytes(1_000))
  while (stage.b2.uploads[0] === undefined || intake.gathered.byteLength < 1_000) await turn()
  const taken: number[] = []
  intake.takePart = (take => () => {
    const part = take.call(intake)
    taken.push(part.bytes.byteLength)
    return part
  })(intake.takePart)
  t.equal(intake.capacity, PART)
  stage.b2.uploads[0].fail()
  source.end(bytes(PART))
  await receipt
  t.same(taken, [PART, 1_000])
  t.equal(account.heldBytes, 0)
})

t.test('a file that others may have seen before local storage failed is removed from B2, where a pass may have taken it', async t => {
  const isFile = (path: unknown): boolean => String(path).endsWith(KEY.slice('tracks/'.length))
  const stage = await setTransferStage(t, {
    fs: { rename: async (from, to) => isFile(to) ? await Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO', syscall: 'rename' })) : await rename(from, to) },
  })
  stage.b2.onPut = async () => UNAVAILABLE
  await t.rejects(stage.transfer(bytes(10)).receipt, { error_code: 'storage_unavailable', message: /local storage: io_error .*rename EIO/ })
  await turn()
  t.same(stage.b2.forgotten, [[KEY, CORRELATION]])
  await t.rejects(stage.transfer(bytes(10), { isLocalOnly: true }).receipt, { name: 'UploadError', error_code: 'storage_unavailable' })
  await turn()
  t.equal(stage.b2.forgotten.length, 1)
})
