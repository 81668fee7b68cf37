import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import { answersIn, assertErrorShape, exchange, holds, pieces } from '../support/run/fuzz.ts'
import { forms } from '../support/forms/fuzz-forms.ts'
import type { SentForm } from '../support/forms/fuzz-forms.ts'
import { CALM } from '../support/promotion/promotion.ts'
import type { RawAnswer } from '../support/clients/raw-http.ts'
import { referenceParts } from '../support/forms/reference-form.ts'
import type { ReferencePart } from '../support/forms/reference-form.ts'
import { b2Env, inB2, sha256, startB2, startService } from '../support/service/service.ts'

const sizes = fc.oneof(fc.constant([]), fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 4 }))

interface Sent { readonly contentType: string, readonly body: Buffer, readonly sizes: readonly number[], readonly chunked?: boolean }

interface Stage {
  /** Sends a form; undefined where there is no answer. */
  post (sent: Sent, announced?: number): Promise<RawAnswer | undefined>
  /** What is stored, which is then forgotten. */
  takeStored (): Promise<{ readonly key: string, readonly sha256: string }[]>
}

async function setStage (t: Test): Promise<Stage> {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...CALM })
  return {
    async post ({ contentType, body, sizes, chunked = false }, announced = body.byteLength) {
      b2.reset() // of what a run before this one may have left when it failed
      const length = chunked ? 'transfer-encoding: chunked' : `content-length: ${announced}`
      const head = Buffer.from(`POST /uploads HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: ${contentType}\r\n${length}\r\n\r\n`, 'latin1')
      const sent = pieces(body, sizes).map(piece => chunked ? Buffer.concat([Buffer.from(`${piece.byteLength.toString(16)}\r\n`), piece, Buffer.from('\r\n')]) : piece)
      const answers = answersIn(await exchange(service, [head, ...sent, ...(chunked ? [Buffer.from('0\r\n\r\n')] : [])]))
      assert(answers.length <= 1, 'one answer')
      return answers[0]
    },
    async takeStored () {
      assert.deepEqual(await service.localFiles(), [], 'nothing is stored locally')
      assert.deepEqual(b2.unfinishedUploads(), [])
      const { files, receipts } = inB2(b2)
      const stored = files.map(({ key }) => ({ key, sha256: sha256(b2.read(key)!) }))
      // Where the metadata is too long for headers.
      for (const { key } of receipts) assert(stored.some(file => key === `${file.key}.receipt.json`), 'a receipt has its file')
      b2.reset()
      return stored
    },
  }
}

function isEmptyInput ({ filename, content }: { readonly filename?: string, readonly content: Buffer }): boolean {
  return filename === '' && content.byteLength === 0
}

async function isRefused (stage: Stage, answer: RawAnswer | undefined, codes: readonly string[]): Promise<void> {
  assert.deepEqual(await stage.takeStored(), [], 'nothing is stored')
  assert(answer !== undefined, 'an answer')
  assert(codes.includes(answer.body.error_code), `${answer.status} ${answer.text}, not one of ${codes.join(', ')}`)
  assert.equal(answer.status, answer.body.error_code === 'unsupported_media_type' ? 415 : 400)
  assertErrorShape(answer)
}

/** The answer to a form is that of the model, and so is what is stored. */
async function isAsModelled (stage: Stage, form: SentForm, answer: RawAnswer | undefined): Promise<void> {
  const files = form.parts.filter(part => part.filename !== undefined && !isEmptyInput(part))
  const [file, second] = files
  if (file === undefined) return await isRefused(stage, answer, ['missing_file'])
  if (second !== undefined) return await isRefused(stage, answer, ['too_many_files'])
  assert.equal(answer?.status, 201, answer?.text)
  const { track, storage } = answer.body
  assert.deepEqual([storage, track.sha256, track.size_bytes], ['b2', sha256(file.content), file.content.byteLength])
  assert.equal(track.filename, file.filename?.trim())
  const fields = form.parts.filter(part => part.filename === undefined)
  assert.deepEqual(Object.entries(track.metadata).sort(), fields.map(({ name, text }) => [name, text]).sort())
  assert.deepEqual(await stage.takeStored(), [{ key: track.key, sha256: sha256(file.content) }])
}

t.test('a well-formed form is stored with exactly its file and its fields, however it is cut into pieces', async t => {
  const stage = await setStage(t)
  await holds(180, fc.asyncProperty(forms, sizes, fc.boolean(), async (form, sizes, chunked) => {
    await isAsModelled(stage, form, await stage.post({ ...form, sizes, chunked }))
  }))
})

t.test('a form that ends early is refused, and stored only where nothing but its epilogue is missing', async t => {
  const stage = await setStage(t)
  await holds(100, fc.asyncProperty(forms, fc.double({ min: 0, max: 1, noNaN: true }), sizes, fc.boolean(), async (form, where, sizes, isSaid) => {
    const length = Math.floor(where * form.body.byteLength)
    const body = form.body.subarray(0, length)
    if (isSaid || length === form.body.byteLength) {
      const answer = await stage.post({ ...form, body, sizes })
      if (length >= form.end) return await isAsModelled(stage, form, answer)
      return await isRefused(stage, answer, ['malformed_upload', 'missing_file', 'too_many_files'])
    }
    const answer = await stage.post({ ...form, body, sizes }, form.body.byteLength)
    if (answer?.status === 201) return await isAsModelled(stage, form, answer)
    // Half-closed in the middle of the body, the request is no well-formed HTTP.
    if (answer === undefined) assert.deepEqual(await stage.takeStored(), [], 'nothing is stored')
    else await isRefused(stage, answer, ['malformed_upload', 'missing_file', 'too_many_files', 'invalid_request'])
  }))
})

/** An answer of 201 says exactly what another parser finds in the form. */
async function isSound (stage: Stage, boundary: string, body: Buffer, answer: RawAnswer | undefined): Promise<void> {
  if (answer?.status !== 201) return await isRefused(stage, answer, ['malformed_upload', 'missing_file', 'too_many_files', 'invalid_request', 'unsupported_media_type'])
  const parts = referenceParts(body, boundary)
  assert(parts !== undefined, 'what is no form is not stored')
  const { track } = answer.body
  if (parts.some(({ isFile }) => isFile === undefined)) {
    assert(parts.some(({ content }) => sha256(content) === track.sha256), 'it is a part, and whole')
    return assert.deepEqual(await stage.takeStored(), [{ key: track.key, sha256: track.sha256 }])
  }
  const isNothing = ({ names, content }: ReferencePart): boolean => content.byteLength === 0 && (names?.filename ?? '') === ''
  const files = parts.filter(part => part.isFile === true && !isNothing(part))
  assert.equal(files.length, 1, 'one file')
  const [{ content, names }] = files as [ReferencePart]
  assert.equal(track.sha256, sha256(content))
  const fields = parts.filter(({ isFile }) => !isFile)
  assert.deepEqual(Object.values(track.metadata).sort(), fields.map(({ text }) => text).sort())
  if (fields.every(field => field.names !== undefined)) {
    assert.deepEqual(Object.keys(track.metadata).sort(), fields.map(field => field.names!.name).sort())
  }
  assert.equal(track.size_bytes, content.byteLength)
  if (names?.filename !== undefined && /^x[\w. ]*$/.test(names.filename)) assert.equal(track.filename, names.filename.trim())
  assert.deepEqual(await stage.takeStored(), [{ key: track.key, sha256: sha256(content) }])
}

interface Change { readonly near: string, readonly which: number, readonly offset: number, readonly drop: number, readonly add: string }

// Near what a parser looks for, or anywhere.
const changes: fc.Arbitrary<Change[]> = fc.array(fc.record({
  near: fc.constantFrom('', '{delimiter}', '{delimiter}', 'isposition', 'form-data', 'name', '\r\n\r\n'),
  which: fc.nat({ max: 1_000 }),
  offset: fc.oneof(fc.constant(0), fc.integer({ min: -3, max: 3 })),
  drop: fc.nat({ max: 3 }),
  add: fc.oneof(fc.constantFrom('', '\r\n', '\n', '--', ' ', ':', '"', ';', 'x', '{delimiter}', '{delimiter}x', '{delimiter}--'), fc.string({ unit: 'binary', maxLength: 2 })),
}), { minLength: 1, maxLength: 2 })

function placesBehind (text: string, mark: string): number[] {
  const places: number[] = []
  for (let at = text.indexOf(mark); at !== -1; at = text.indexOf(mark, at + 1)) places.push(at + mark.length)
  return places
}

function changed ({ body, boundary }: SentForm, changes: readonly Change[]): Buffer {
  const delimiter = `\r\n--${boundary}`
  let text = body.toString('latin1')
  for (const { near, which, offset, drop, add } of changes) {
    const mark = near.replace('{delimiter}', delimiter)
    const places = near === '' ? [which % (text.length + 1)] : placesBehind(text, mark)
    const at = Math.max(0, (places[which % places.length] ?? 0) + offset)
    text = text.slice(0, at) + Buffer.from(add.replace('{delimiter}', delimiter)).toString('latin1') + text.slice(at + drop)
  }
  return Buffer.from(text, 'latin1')
}

t.test('of a form with bytes that were changed, lost or doubled, no more and no less is stored than another parser finds', async t => {
  const stage = await setStage(t)
  await holds(250, fc.asyncProperty(forms, changes, sizes, async (form, changes, sizes) => {
    const body = changed(form, changes)
    await isSound(stage, form.boundary, body, await stage.post({ ...form, body, sizes }))
  }))
})
