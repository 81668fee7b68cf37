// The plain way to put a file on disk: the form's file is piped there. With FLUSH=1 each file is synced before the answer.
import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { createServer } from 'node:http'
import path from 'node:path'
import process from 'node:process'
import { pipeline } from 'node:stream/promises'
import busboy from 'busboy'

const { DIRECTORY, FLUSH } = process.env

const server = createServer((request, response) => {
  const form = busboy({ headers: request.headers })
  form.on('file', async (_field, file) => {
    const location = path.join(DIRECTORY, `${randomUUID()}.bin`)
    try {
      await pipeline(file, createWriteStream(location, { flush: FLUSH === '1' }))
      answer(response, 201, { storage: 'local', location })
    } catch (error) {
      answer(response, 500, { error_code: error.code })
    }
  })
  form.on('error', () => answer(response, 400, { error_code: 'malformed_upload' }))
  request.pipe(form)
})

function answer (response, status, content) {
  if (response.headersSent) return
  const text = JSON.stringify(content)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

server.listen(0, '127.0.0.1', () => {
  console.log(`listening at http://127.0.0.1:${server.address().port}`)
})
