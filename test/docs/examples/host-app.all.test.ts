import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { outputOf } from '../../support/docs/demo.ts'
import { b2Env, bytes, put, sha256, startB2 } from '../../support/service/service.ts'

t.test('the host app guards the routes with its own users, and its records follow each file to B2', async t => {
  const b2 = await startB2(t)
  const child = spawn(process.execPath, ['--import=tsx', 'examples/host-app.ts'], {
    env: {
      ...process.env, ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000', B2_MAX_ATTEMPTS: '1', PROMOTE_INTERVAL_MS: '100', PORT: '0', LOCAL_STORAGE_DIR: t.testdir(),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(child, 'exit')
  t.teardown(() => { child.kill('SIGKILL') })
  const [, url] = await outputOf(child).until(/Server listening at (http:[^"]+)/)
  const alice = { authorization: 'Bearer alice' }
  const songs = async (): Promise<{ title: string, storage: string, url: string }[]> => await (await fetch(`${url}/songs`, { headers: alice })).json() as never

  const content = bytes(10_000)
  const stranger = await put({ url: `${url}/media` }, content, 'song.mp3')
  t.match(stranger, { status: 401, body: { message: 'Log in first.' } })

  const down = b2.fault({ operation: 'PutObject', status: 503, times: Infinity })
  t.match(await put({ url: `${url}/media` }, content, 'song.mp3', alice), { status: 201, body: { storage: 'local' } })
  t.match(await songs(), [{ title: 'song.mp3', storage: 'local' }])
  down.cancel()
  while ((await songs())[0]!.storage !== 'b2') await sleep(20) // another process has no event to wait for

  const [song] = await songs()
  t.equal((await fetch(`${url}${song!.url}`)).status, 401)
  const read = await fetch(`${url}${song!.url}`, { headers: alice })
  t.equal(sha256(Buffer.from(await read.arrayBuffer())), sha256(content))

  const bob = { authorization: 'Bearer bob' }
  const receiptUrl = song!.url.replace('/content', '')
  for (const [method, path] of [['GET', song!.url], ['HEAD', song!.url], ['GET', receiptUrl], ['DELETE', receiptUrl]] as const) {
    t.equal((await fetch(`${url}${path}`, { method, headers: bob })).status, 404, `bob's ${method} ${path}`)
  }
  t.same(await (await fetch(`${url}/songs`, { headers: bob })).json(), [], 'nor does he see it')
  t.equal((await fetch(`${url}${receiptUrl}`, { headers: alice })).status, 200, 'it is still there')
  t.equal((await fetch(`${url}${receiptUrl}`, { method: 'DELETE', headers: alice })).status, 204)
  t.same(await songs(), [])
  child.kill('SIGTERM')
  t.same(await exited, [0, null])
})
