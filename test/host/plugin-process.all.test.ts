import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { b2Env, startB2 } from '../support/service/service.ts'

t.test('a process that uploads and closes its app ends by itself', async t => {
  const b2 = await startB2(t)
  const program = join(import.meta.dirname, '../fixtures/plugin-process.ts')
  for (const [storage, env] of [['b2', { ...b2Env(b2), B2_STALL_TIMEOUT_MS: '10000' }], ['local', {}]] as const) {
    const { stdout } = await promisify(execFile)(process.execPath, ['--import=tsx', program], {
      env: { PATH: process.env['PATH'], LOCAL_STORAGE_DIR: t.testdir(), ...env }, timeout: 60_000, killSignal: 'SIGKILL',
    })
    t.equal(stdout, `${`${storage}\n`.repeat(4)}closed\n`)
  }
})
