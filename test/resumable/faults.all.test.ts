import t from 'tap'
import type { Fault } from '../../emulator/index.ts'
import { onlyFilesAreLeft } from '../support/resumable/leftovers.ts'
import { SIZE, start, upload } from '../support/resumable/pieces.ts'
import { every } from '../support/run/loops.ts'
import { bytes } from '../support/service/service.ts'

const STEPS: [name: string, fault: Fault][] = [
  ['the request that begins it', { operation: 'CreateMultipartUpload' }],
  ['what is stored at the creation', { operation: 'PutObject', key: /\.resumable\// }],
  ['what is stored before the first part', { operation: 'PutObject', key: /\.resumable\//, after: 1 }],
  ['the bytes behind the parts', { operation: 'PutObject', key: /\.resumable\/.*tail/ }],
  ['a part', { operation: 'UploadPart' }],
  ['the completion', { operation: 'CompleteMultipartUpload' }],
]
const KINDS: Fault[] = [
  { status: 503 }, { status: 500, apply: true }, { status: 403, code: 'AccessDenied' }, { action: 'hang' }, { action: 'reset', at: 'during-body' },
  { action: 'lose-answer' }, { action: 'lose-answer-hang' }, { action: 'garbage' }, { action: 'no-etag' }, { action: 'truncate-answer' }, { action: 'stop-reading' }, { status: 503, early: true },
]

t.test('whatever goes wrong once at B2, what was told as stored is, and the upload is whole at last, once', async t => {
  for (const [index, [name, step]] of STEPS.entries()) {
    for (const kind of every(4, KINDS, index)) {
      await t.test(`${name}: ${JSON.stringify(kind)}`, async t => {
        const { b2, service } = await start(t)
        const content = bytes(SIZE)
        b2.fault({ ...kind, ...step })
        t.match(await upload(t, service, content, () => {}), /^(b2|split|local)$/)
        await onlyFilesAreLeft(t, b2, service, [content])
        t.equal(service.app.uploads.heldBytes, 0)
      })
    }
  }
})
