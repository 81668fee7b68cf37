import { readFile } from 'node:fs/promises'
import t from 'tap'
import { fieldPart, filePart, form, postBody } from '../support/forms/forms.ts'
import { bytes, post, sha256 } from '../support/service/service.ts'
import { MIB, receiptsFailOf, setUp } from '../support/faults/receipts-fail.ts'

receiptsFailOf({ size: 10_000, fields: { a: 'a'.repeat(1_000), b: 'b'.repeat(1_000) } })

t.test('a file that falls back has its receipt locally, whatever B2 has of it', async t => {
  const { b2, service } = await setUp(t)
  const content = bytes(6 * MIB)
  b2.fault({ operation: 'CompleteMultipartUpload', status: 403 })
  const { status, body } = await post(service, content, 'song.mp3')
  t.match({ status, ...body }, { status: 201, storage: 'local', fallback_from_b2: true, track: { sha256: sha256(content) } })
  t.same(await service.localFiles(), [body.track.key, `${body.track.key}.receipt.json`])
  t.equal(sha256(await readFile(body.location)), sha256(content))
})

t.test('nothing of a file is lost where B2 fails while the end of the form is awaited', async t => {
  const { b2, service } = await setUp(t)
  const content = bytes(6 * MIB)
  b2.fault({ operation: 'UploadPart', part: 1, status: 403, delayMs: 300 })
  const failed = b2.waitFor('response', ({ operation }) => operation === 'AbortMultipartUpload')
  const whole = form(filePart(content), fieldPart('late', 'field'))
  const answer = postBody(service, new ReadableStream({
    async start (controller) {
      controller.enqueue(whole.subarray(0, -20))
      await failed
      controller.enqueue(whole.subarray(-20))
      controller.close()
    },
  }))
  const { status, body } = await answer
  t.match({ status, ...body }, { status: 201, storage: 'local', track: { sha256: sha256(content), metadata: { late: 'field' } } })
  t.equal(sha256(await readFile(body.location)), sha256(content))
  t.same(b2.versions(), [])
})
