// An S3 server that throws bodies away, but for short ones of objects, and remembers how many bytes of each key came.
// node sink.mjs '{ "latencyMs": 30, "bytesPerSecond": 1e7, "tls": { "key": file, "cert": file } }'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import process from 'node:process'

const { latencyMs = 0, bytesPerSecond = Infinity, tls } = JSON.parse(process.argv[2])

const ETAG = '"9e107d9d372bb6826bd81d3542a419d6"'
const LONGEST_LEAD_MS = 4
const LONGEST_KEPT_BYTES = 16_384

const objects = new Map()
const contents = new Map()
const uploads = new Map()
const counts = { requests: 0, connections: 0, unknown: 0 }
let lastUpload = 0

const operations = {
  'PUT object': (key, { length, text }, _query, headers) => {
    contents.set(key, { text, headers: Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('x-amz-meta-'))) })
    return store(key, length)
  },

  'POST uploads': key => {
    const id = `upload-${++lastUpload}`
    uploads.set(id, new Map())
    return xml('InitiateMultipartUploadResult', `<Bucket>bench</Bucket><Key>${key}</Key><UploadId>${id}</UploadId>`)
  },

  'PUT part': (_key, { length }, query) => {
    const parts = uploads.get(query.get('uploadId'))
    if (parts === undefined) return { status: 404 }
    parts.set(query.get('partNumber'), length)
    return { status: 200, headers: { etag: ETAG } }
  },

  'POST upload': (key, { text }, query) => {
    const parts = uploads.get(query.get('uploadId'))
    if (parts === undefined) return { status: 404 }
    uploads.delete(query.get('uploadId'))
    const listed = [...text.matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)]
    store(key, listed.reduce((sum, [, number]) => sum + (parts.get(number) ?? NaN), 0))
    return xml('CompleteMultipartUploadResult', `<Bucket>bench</Bucket><Key>${key}</Key><ETag>${ETAG}</ETag>`)
  },

  'DELETE upload': (_key, _body, query) => {
    uploads.delete(query.get('uploadId'))
    return { status: 204 }
  },

  'HEAD object': key => objects.has(key)
    ? { status: 200, headers: { etag: ETAG, 'content-length': objects.get(key), ...contents.get(key)?.headers } }
    : { status: 404 },

  'GET object': key => contents.has(key)
    ? { status: 200, headers: { etag: ETAG, ...contents.get(key).headers }, text: contents.get(key).text }
    : missing('NoSuchKey'),

  // Parts of a file that is being sent; who asks goes on with it.
  'GET upload': (_key, _body, query) => {
    const parts = uploads.get(query.get('uploadId'))
    if (parts === undefined) return missing('NoSuchUpload')
    return xml('ListPartsResult', `<IsTruncated>false</IsTruncated>${Array.from(parts, ([number, size]) => `<Part><PartNumber>${number}</PartNumber><Size>${size}</Size><ETag>${ETAG}</ETag></Part>`).join('')}`)
  },

  'DELETE object': key => {
    objects.delete(key)
    contents.delete(key)
    return { status: 204 }
  },

  'GET versions': () => xml('ListVersionsResult', '<IsTruncated>false</IsTruncated>'),
  'GET uploads': () => xml('ListMultipartUploadsResult', '<IsTruncated>false</IsTruncated>'),
}

function operationOf (method, query) {
  const target = query.has('partNumber')
    ? 'part'
    : query.has('uploadId') ? 'upload' : query.has('uploads') ? 'uploads' : query.has('versions') ? 'versions' : 'object'
  return operations[`${method} ${target}`]
}

function store (key, length) {
  objects.set(key, length)
  return { status: 200, headers: { etag: ETAG } }
}

function missing (code) {
  return { status: 404, headers: { 'content-type': 'application/xml' }, text: `<Error><Code>${code}</Code></Error>` }
}

function xml (name, content) {
  return { status: 200, headers: { 'content-type': 'application/xml' }, text: `<?xml version="1.0" encoding="UTF-8"?><${name}>${content}</${name}>` }
}

function handle (request, response) {
  counts.requests++
  const { pathname, searchParams } = new URL(request.url, 'http://sink')
  const key = decodeURIComponent(pathname.split('/').slice(2).join('/'))
  const operation = operationOf(request.method, searchParams)
  readBody(request, body => {
    if (operation === undefined) counts.unknown++
    const { status, headers, text = '' } = operation?.(key, body, searchParams, request.headers) ?? { status: 501 }
    later(latencyMs, () => {
      response.writeHead(status, { 'content-length': Buffer.byteLength(text), ...headers })
      response.end(text)
    })
  })
}

/** Counts a body, at no more than the connection's rate; only a short one (XML, or a file's record) is kept. */
function readBody (request, onEnd) {
  const { socket } = request
  const isText = request.method === 'POST' || (Number(request.headers['content-length']) <= LONGEST_KEPT_BYTES && !request.url.includes('partNumber'))
  let length = 0
  let text = ''
  request.on('data', chunk => {
    length += chunk.length
    if (isText) text += chunk.toString()
    if (bytesPerSecond === Infinity) return
    const now = performance.now()
    socket.paidUntil = Math.max(socket.paidUntil ?? 0, now) + chunk.length / bytesPerSecond * 1_000
    if (socket.paidUntil - now <= LONGEST_LEAD_MS) return
    request.pause()
    setTimeout(() => request.resume(), socket.paidUntil - now)
  })
  request.on('end', () => {
    const decoded = request.headers['x-amz-decoded-content-length']
    onEnd({ length: decoded === undefined ? length : Number(decoded), text })
  })
}

function later (ms, action) {
  if (ms === 0) action()
  else setTimeout(action, ms)
}

const settings = { keepAliveTimeout: 60_000, requestTimeout: 0 }
const server = tls === undefined
  ? http.createServer(settings, handle)
  : https.createServer({ ...settings, key: readFileSync(tls.key), cert: readFileSync(tls.cert) }, handle)
server.on('checkContinue', (request, response) => later(latencyMs, () => {
  response.writeContinue()
  handle(request, response)
}))
// Each round trip of a handshake takes the latency: one for TCP and one for TLS 1.3.
const handshakeMs = latencyMs * (tls === undefined ? 1 : 2)
const listener = net.createServer(socket => {
  counts.connections++
  socket.on('error', () => {})
  later(handshakeMs, () => { if (!socket.destroyed) server.emit('connection', socket) })
})

process.on('disconnect', () => process.exit())
process.on('message', ({ files }) => {
  if (files === undefined) {
    listener.listen(0, '127.0.0.1', 4_096, () => process.send({ port: listener.address().port }))
    return
  }
  const missing = files.filter(([key]) => !objects.has(key)).length
  const wrong = files.filter(([key, size]) => objects.has(key) && objects.get(key) !== size).length
  process.send({ missing, wrong, unfinished: uploads.size, ...counts })
})
