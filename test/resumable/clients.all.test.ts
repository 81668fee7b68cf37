import { Readable } from 'node:stream'
import t from 'tap'
import type { Test } from 'tap'
import { Upload } from 'tus-js-client'
import { head } from '../support/resumable/tus.ts'
import { b2Env, bytes, inB2, sha256, startB2, startService } from '../support/service/service.ts'
import type { Answer, TestService } from '../support/service/service.ts'

const MIB = 1_048_576
const SIZES = [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 12 * MIB + 7]
const CHUNKS = { '1 MiB': MIB, '5 MiB': 5 * MIB, none: Infinity }

type Options = Upload['options']
type File = ConstructorParameters<typeof Upload>[0]

async function start (t: Test): Promise<{ b2: Awaited<ReturnType<typeof startB2>>, service: TestService }> {
  const b2 = await startB2(t)
  return { b2, service: await startService(t, { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_PART_BYTES: String(5 * MIB) }) }
}

/** Uploads with tus-js-client. @returns the upload and the requests that it took, as method and status */
async function upload (service: Pick<TestService, 'url'>, file: Buffer | Readable, options: Options = {}): Promise<{ url: string, requests: string[] }> {
  const requests: string[] = []
  return await new Promise((resolve, reject) => {
    const client = new Upload(file as unknown as File, {
      endpoint: `${service.url}/resumable`,
      retryDelays: null,
      metadata: { filename: 'song.mp3', filetype: 'audio/mpeg', album: 'Ä' },
      onAfterResponse: (request, response) => { requests.push(`${request.getMethod()} ${response.getStatus()}`) },
      onSuccess: () => resolve({ url: client.url!, requests }),
      onError: reject,
      ...options,
    })
    client.start()
  })
}

async function isStored (t: Test, url: string, content: Buffer): Promise<void> {
  const { storage, track } = await (await fetch(url.replace('resumable', 'uploads'))).json() as Answer['body']
  t.equal(storage, 'b2')
  t.match(track, { size_bytes: content.byteLength, sha256: sha256(content), filename: 'song.mp3', metadata: { album: 'Ä' } })
}

t.test('tus-js-client uploads files of all sizes, in pieces of all sizes', async t => {
  const { b2, service } = await start(t)
  for (const [name, chunkSize] of Object.entries(CHUNKS)) {
    for (const size of SIZES) {
      await t.test(`${size} bytes, pieces: ${name}`, async t => {
        const content = bytes(size)
        const { url, requests } = await upload(service, content, { chunkSize })
        await isStored(t, url, content)
        const pieces = size === 0 ? 0 : Math.ceil(size / Math.min(chunkSize, size))
        t.same(requests, ['POST 201', ...Array.from({ length: pieces }, () => 'PATCH 204')])
        t.match(inB2(b2).files, [{ sha256: sha256(content) }])
        t.same(b2.unfinishedUploads(), [])
        b2.reset()
      })
    }
  }
  t.same(await service.localFiles(), [])
})

t.test('it may send the beginning, or all, with the creation', async t => {
  const { service } = await start(t)
  for (const [size, chunkSize, pieces] of [[0, Infinity, 0], [1, Infinity, 0], [9 * MIB, Infinity, 0], [9 * MIB, 5 * MIB, 1]] as const) {
    const content = bytes(size)
    const { url, requests } = await upload(service, content, { chunkSize, uploadDataDuringCreation: true })
    await isStored(t, url, content)
    t.same(requests, ['POST 201', ...Array.from({ length: pieces }, () => 'PATCH 204')])
  }
})

t.test('it may know the length only at the end of a stream', async t => {
  const { service } = await start(t)
  // Of a stream that ends with a piece it would wait for another one.
  for (const size of [1, 3 * MIB - 1, 3 * MIB + 1, 9 * MIB + 7]) {
    const content = bytes(size)
    const pieces = Array.from({ length: Math.ceil(size / 100_000) }, (_, index) => content.subarray(index * 100_000, (index + 1) * 100_000))
    const { url } = await upload(service, Readable.from(pieces, { objectMode: false }), { chunkSize: MIB, uploadLengthDeferred: true })
    await isStored(t, url, content)
  }
})

t.test('it may send POST in the place of PATCH', async t => {
  const { service } = await start(t)
  const content = bytes(2 * MIB + 1)
  const { url, requests } = await upload(service, content, { chunkSize: MIB, overridePatchMethod: true })
  await isStored(t, url, content)
  t.same(requests, ['POST 201', 'POST 204', 'POST 204', 'POST 204'])
})

t.test('it goes on by the upload\'s URL, from where it was', async t => {
  const { service } = await start(t)
  const content = bytes(20 * MIB)
  const url = await new Promise<string>((resolve, reject) => {
    const client = new Upload(content as unknown as File, {
      endpoint: `${service.url}/resumable`,
      chunkSize: 5 * MIB,
      retryDelays: null,
      metadata: { filename: 'song.mp3', album: 'Ä' },
      onChunkComplete: (_size, accepted) => { if (accepted >= 10 * MIB) client.abort().then(() => resolve(client.url!), reject) },
      onError: reject,
    })
    client.start()
  })
  const offset = Number((await head(service, new URL(url).pathname)).headers.get('upload-offset'))
  t.ok(offset >= 10 * MIB && offset < 20 * MIB, `${offset} bytes are there`)
  const { requests, url: same } = await upload(service, content, { uploadUrl: url, chunkSize: 5 * MIB })
  t.equal(same, url)
  t.same(requests, ['HEAD 200', ...Array.from({ length: Math.ceil((20 * MIB - offset) / (5 * MIB)) }, () => 'PATCH 204')])
  await isStored(t, url, content)
  t.same((await upload(service, content, { uploadUrl: url })).requests, ['HEAD 200'], 'a complete one needs nothing more')
})

t.test('it ends what it began, and begins again what is gone', async t => {
  const { b2, service } = await start(t)
  const content = bytes(20 * MIB)
  const url = await new Promise<string>((resolve, reject) => {
    const client = new Upload(content as unknown as File, {
      endpoint: `${service.url}/resumable`,
      chunkSize: 9 * MIB,
      retryDelays: null,
      onChunkComplete: () => { client.abort(true).then(() => resolve(client.url!), reject) },
      onError: reject,
    })
    client.start()
  })
  t.match(String((await head(service, new URL(url).pathname)).status), /^4(04|10)$/)
  t.same(b2.unfinishedUploads(), [])
  const again = await upload(service, content, { uploadUrl: url })
  t.not(again.url, url)
  t.match(again.requests[1], 'POST 201')
  await isStored(t, again.url, content)
})
