import { Readable } from 'node:stream'
import Fastify from 'fastify'
import t from 'tap'
import b2Uploads from '../../../index.ts'
import { servedType } from '../../../routes/download/served-type.ts'
import { contentPath, download } from '../../support/clients/download.ts'
import { connect, isError } from '../../support/clients/raw-http.ts'
import { b2Env, put, startB2, startService } from '../../support/service/service.ts'

const ACTIVE = [
  'application/ecmascript', 'application/javascript', 'application/x-ecmascript', 'application/x-javascript', 'text/ecmascript', 'text/javascript',
  'text/javascript1.0', 'text/javascript1.1', 'text/javascript1.2', 'text/javascript1.3', 'text/javascript1.4', 'text/javascript1.5', 'text/jscript',
  'text/livescript', 'text/x-ecmascript', 'text/x-javascript', 'text/html', 'application/xhtml+xml', 'image/svg+xml', 'text/xml', 'application/xml',
  'application/rss+xml', 'application/gpx+xml', 'model/x3d+xml', 'application/xslt+xml', 'text/xsl', 'text/css', 'application/wasm',
  'multipart/related', 'multipart/x-mixed-replace', 'message/rfc822', 'application/x-mimearchive', 'application/x-shockwave-flash',
]
const INERT = [
  'audio/mpeg', 'video/mp4', 'image/png', 'application/pdf', 'application/json', 'text/plain', 'text/csv', 'application/octet-stream', 'application/zip',
  'application/vnd.api+json', 'text/markdown', 'font/woff2',
]

t.test('what browsers carry out is served as what they don\'t, in any case and with parameters', async t => {
  for (const type of ACTIVE) {
    for (const each of [type, type.toUpperCase(), `${type}; charset=utf-8`, ` ${type} ;a=b`]) t.equal(servedType(each), 'application/octet-stream', each)
  }
  for (const type of INERT) t.equal(servedType(type), type)
  t.equal(servedType('text/plain; charset=utf-8'), 'text/plain; charset=utf-8')
})

for (const storage of ['b2', 'local']) {
  t.test(`a file keeps its type in the receipt, whatever it is served as (${storage})`, async t => {
    const service = await startService(t, storage === 'b2' ? b2Env(await startB2(t)) : {})
    for (const declared of ['text/javascript', 'Text/JavaScript; charset=utf-8', 'application/x-javascript', 'text/html', 'image/svg+xml', 'text/css', 'text/plain', 'application/json']) {
      const { body } = await put(service, Buffer.from('alert(document.cookie)'), 'a.js', { 'content-type': declared })
      const own = declared.toLowerCase().split(';')[0]!
      t.equal(body.track.content_type, own)
      for (const method of ['GET', 'HEAD'] as const) {
        for (const headers of [{}, { range: 'bytes=0-4' }]) {
          const answer = await download(service, contentPath(body.track.key), { method, headers })
          t.equal(answer.headers['content-type'], ACTIVE.includes(own) ? 'application/octet-stream' : own, `${method} ${declared}`)
          t.match(answer.headers, { 'content-disposition': /^attachment/, 'x-content-type-options': 'nosniff', 'content-security-policy': /sandbox/ })
          t.match(answer.headers['content-security-policy'], /default-src 'none'/)
        }
      }
      const receipt = await fetch(`${service.url}${contentPath(body.track.key).replace('/content', '')}`)
      t.equal(receipt.headers.get('cache-control'), 'no-store')
      t.match(await receipt.json(), { track: { content_type: own } })
    }
  })
}

t.test('a host\'s pages can\'t run what was uploaded either', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(b2Uploads, { local: { dir: t.testdir() }, prefix: '/media' })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { track } = await app.uploads.store(Readable.from(['alert(1)']), { filename: 'a.js', contentType: 'application/javascript' })
  const { headers } = await download({ url }, `/media${contentPath(track.key)}`)
  t.match(headers, { 'content-type': 'application/octet-stream', 'content-security-policy': /sandbox/, 'x-content-type-options': 'nosniff' })
})

t.test('nobody keeps an error for others, or for later', async t => {
  const service = await startService(t)
  const name = '019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001.mp3'
  for (const [method, path, status, code] of [
    ['GET', `/uploads/${name}`, 404, 'not_found'],
    ['GET', `/uploads/${name}/content`, 404, 'not_found'],
    ['GET', '/nowhere', 404, 'not_found'],
    ['DELETE', '/uploads/no-name', 404, 'not_found'],
    ['PUT', '/uploads/a/b', 404, 'not_found'],
  ] as const) {
    const client = await connect(t, service)
    await client.send(`${method} ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n`)
    const answer = await client.answer()
    isError(t, answer, status, code)
    t.equal(answer?.headers.get('cache-control'), 'no-store', `${method} ${path}`)
  }
})
