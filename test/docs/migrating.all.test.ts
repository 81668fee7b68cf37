import { writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { B2Emulator } from '../../emulator/index.ts'
import { mp3 } from '../../scripts/samples/audio.ts'
import { setEnv } from '../support/run/env.ts'
import { codeIn, readDocument } from '../support/docs/markdown.ts'
import { b2Env, startB2 } from '../support/service/service.ts'

const SONG = mp3({ title: 'Song' })
const [sideBySide, ownRoute, express, ...more] = codeIn(readDocument('docs/migrating-from-multer-s3.md'), 'ts')
t.equal(more.length, 0)

/** Runs a block in this process, with the sources in place of the package. */
async function start (t: Test, code: string, b2: B2Emulator): Promise<{ app: FastifyInstance, server?: Server, url: string }> {
  const dir = t.testdir()
  setEnv(t, { ...b2Env(b2), LOCAL_STORAGE_DIR: join(dir, 'storage') })
  const file = join(dir, 'example.mts')
  const source = code
    .replaceAll("'fastify-b2-uploads'", `'${new URL('../../index.ts', import.meta.url).href}'`)
    .replace('logger: true', "logger: { level: 'silent' }")
    .replace(/port: 3000|listen\(3000/, found => found.replace('3000', '0'))
  const listens = source.includes('createServer(') ? 'app, server' : 'app'
  await writeFile(file, `${source}\nexport { ${listens} }\n`)
  const { app, server } = await import(pathToFileURL(file).href) as { app: FastifyInstance, server?: Server }
  t.teardown(async () => {
    server?.close()
    await app.close()
  })
  if (server?.listening === false) await once(server, 'listening')
  const { port } = (server ?? app.server).address() as AddressInfo
  return { app, ...(server === undefined ? {} : { server }), url: `http://127.0.0.1:${port}` }
}

t.test('the plugin in place of multer-s3: users, records, limits and types as before, and a fallback besides', async t => {
  const b2 = await startB2(t)
  const { url } = await start(t, sideBySide!, b2)
  const headers = { authorization: 'Bearer alice' }
  const send = async (content: Uint8Array, name: string, more: Record<string, string> = headers): Promise<{ status: number, body: any }> => {
    const body = new FormData()
    body.append('album_id', '42')
    body.append('file', new Blob([content]), name)
    const response = await fetch(`${url}/songs/uploads`, { method: 'POST', body, headers: more })
    return { status: response.status, body: await response.json() }
  }
  t.match(await send(SONG, 'song.mp3', {}), { status: 401, body: { message: 'Log in first.' } })
  t.match(await send(SONG, 'song.mp3'), { status: 201, body: { storage: 'b2' } })
  t.match(await send(Buffer.from('%PDF-1.7\n'), 'song.mp3'), { status: 415, body: { error_code: 'unsupported_media_type' } })
  const down = b2.fault({ operation: 'PutObject', status: 403, code: 'AccessDenied', times: Infinity })
  t.match(await send(SONG, 'song.mp3'), { status: 201, body: { storage: 'local' } })
  down.cancel()
  const songs = await (await fetch(`${url}/songs`, { headers })).json()
  t.match(songs, [{ storage: 'b2', size: SONG.byteLength, album: '42' }, { storage: 'local' }])
})

t.test('a route of one\'s own keeps path and answer, and neither cuts nor takes a file that is too large', async t => {
  const b2 = await startB2(t)
  const { url } = await start(t, ownRoute!.replace('100 * 1024 * 1024', String(SONG.byteLength)), b2)
  const send = async (content: Uint8Array): Promise<Response> => {
    const body = new FormData()
    body.append('file', new Blob([content], { type: 'audio/mpeg' }), 'song.mp3')
    return await fetch(`${url}/songs`, { method: 'POST', body })
  }
  const response = await send(SONG)
  t.equal(response.status, 201)
  const { key, size } = await response.json() as { key: string, size: number }
  t.equal(size, SONG.byteLength)
  const content = await fetch(`${url}/songs/${key.split('/').at(-1)}`)
  t.equal(content.headers.get('content-type'), 'audio/mpeg')
  t.same(Buffer.from(await content.arrayBuffer()), SONG)
  t.equal((await send(Buffer.concat([SONG, Buffer.alloc(1)]))).status, 413)
  t.equal(b2.objects().length, 1)
})

t.test('the store alone takes the request of another framework', async t => {
  const b2 = await startB2(t)
  const { url } = await start(t, express!, b2)
  const response = await fetch(url, { method: 'POST', body: SONG })
  t.match(await response.json(), { storage: 'b2', track: { size_bytes: SONG.byteLength, audio: { title: 'Song' } } })
  t.equal(b2.objects().length, 1)
})
