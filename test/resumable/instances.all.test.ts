import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator } from '../../emulator/index.ts'
import { onlyFilesAreLeft } from '../support/resumable/leftovers.ts'
import { ask, create, head, patch } from '../support/resumable/tus.ts'
import { rounds } from '../support/run/loops.ts'
import { b2Env, bytes, inB2, sha256, startB2, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'

const MIB = 1_048_576
const PART = 5 * MIB

async function startTwo (t: Test, more: Record<string, string> = {}): Promise<{ b2: B2Emulator, one: TestService, two: TestService }> {
  const b2 = await startB2(t)
  const env = { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '5000', B2_PART_BYTES: String(PART), ...more }
  return { b2, one: await startService(t, env), two: await startService(t, env) }
}

t.test('two instances take turns with the pieces of one upload', async t => {
  const { b2, one, two } = await startTwo(t)
  const content = bytes(2 * PART + 300_000)
  const path = await create(t, one, content.byteLength)
  const ends = [10, 70_000, PART - 1, PART, PART + MIB, 2 * PART + 1, content.byteLength]
  let offset = 0
  for (const [index, end] of ends.entries()) {
    const [service, other] = index % 2 === 0 ? [two, one] : [one, two]
    const { status, headers } = await patch(service, path, offset, content.subarray(offset, end))
    t.match([status, headers.get('upload-offset')], [204, String(end)])
    t.equal((await head(other, path)).headers.get('upload-offset'), String(end), 'the other one knows')
    offset = end
  }
  for (const service of [one, two]) {
    t.match(await (await fetch(`${service.url}${path.replace('resumable', 'uploads')}`)).json(), { storage: 'b2', track: { sha256: sha256(content) } })
  }
  await onlyFilesAreLeft(t, b2, one, [content])
  t.same(await two.localFiles(), [])
})

t.test('two instances get different bytes for one upload at once: what is completed is what its receipt says', async t => {
  for (let round = 0; round < rounds(4, 20); round++) {
    const { b2, one, two } = await startTwo(t)
    const common = bytes(round % 2 === 0 ? PART + 1_000 : 1_000)
    const contents = [one, two].map(() => Buffer.concat([common, bytes(PART + MIB)])) as [Buffer, Buffer]
    const path = await create(t, one, contents[0].byteLength)
    t.equal((await patch(one, path, 0, common)).status, 204)
    t.equal((await head(two, path)).headers.get('upload-offset'), String(common.byteLength))
    const answers = await Promise.all([one, two].map(async (service, index) => await patch(service, path, common.byteLength, contents[index as 0 | 1].subarray(common.byteLength))))
    t.comment(answers.map(({ status }) => status).join(' and '))
    const done = answers.filter(({ headers }) => headers.has('content-location'))
    t.ok(answers.every(({ status }) => [204, 409, 423, 503].includes(status)), 'no other answers', { found: answers.map(({ status, text }) => [status, text]) })
    for (const { status, headers } of done) t.match([status, headers.get('upload-offset')], [204, String(contents[0].byteLength)])
    t.ok(done.length <= 1, 'at most one wins')
    if (done.length === 0) { // then either can go on
      const from = Number((await head(one, path)).headers.get('upload-offset'))
      const again = await patch(one, path, from, contents[0].subarray(from))
      t.ok([204, 409].includes(again.status), `${again.status}`)
    }
    const response = await fetch(`${one.url}${path.replace('resumable', 'uploads')}`)
    if (response.status === 200) {
      const { track } = await response.json() as Answer['body']
      t.same(inB2(b2).files.filter(({ key }) => !key.includes('.resumable/')).map(file => file.sha256), [track.sha256], 'one file, as its receipt describes it')
      if (done.length === 1) t.equal(track.sha256, sha256(contents[answers.indexOf(done[0]!) as 0 | 1]), 'that of the one who was told so')
    } else t.equal((await ask(one, 'DELETE', path)).status, 204)
    t.same([...await one.localFiles(), ...await two.localFiles()], [])
  }
})
