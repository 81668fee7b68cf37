import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { bundle } from '../../scripts/bundle.ts'
import { outputOf } from '../support/docs/demo.ts'

t.test('an upload under way is finished after a Ctrl-C that comes twice at once, from the terminal and from npm', async t => {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-'))
  const child = spawn(process.execPath, [bundle('server.ts')], {
    cwd: dir, // without a .env
    env: { PATH: process.env['PATH'], PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
    await rm(dir, { recursive: true, force: true })
  })
  const output = outputOf(child)
  const [, url] = await output.until(/Server listening at (http:[^"]+)/)
  const request = http.request(`${url}/uploads/song.mp3`, { method: 'PUT' })
  const answered = once(request, 'response')
  request.write('la ')
  // The service has the upload's beginning by the time it answers a later request.
  await (await fetch(`${url}/health`)).text()

  child.kill('SIGINT')
  // No form is 415, until the signal has arrived: then all uploads are refused.
  for (let status = 415; status === 415;) status = (await fetch(`${url}/uploads`, { method: 'POST', body: 'x' })).status
  child.kill('SIGINT')

  request.end('la la')
  const [response] = await answered as [IncomingMessage]
  t.equal(response.statusCode, 201)
  response.resume()
  t.same(await exited, [0, null])
})
