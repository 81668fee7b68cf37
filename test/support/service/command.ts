import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { bundle } from '../../../scripts/bundle.ts'
import { outputOf } from '../docs/demo.ts'
import { begin, emptyDirectory } from '../promotion/promote-command.ts'
import type { Ended, Running } from '../promotion/promote-command.ts'

const COMMAND = bundle('cli/command.ts')
export const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'))

const command = async (t: Test, args: string[], env: Record<string, string> = {}): Promise<Running> => await begin(t, process.execPath, [COMMAND, ...args], env)

/** Runs `fastify-b2-uploads` to its end. */
export const run = async (...how: Parameters<typeof command>): Promise<Ended> => await (await command(...how)).ended

/** With these arguments it runs the service until SIGTERM, and prints nothing on standard error. */
export async function serves (t: Test, args: string[]): Promise<void> {
  const { child, ended } = await command(t, args, {
    PORT: '0',
    LOCAL_STORAGE_DIR: await emptyDirectory(t),
    B2_ENDPOINT: 'http://127.0.0.1:1',
    B2_REGION: 'here',
    B2_BUCKET: 'songs',
    B2_APPLICATION_KEY_ID: 'id-of-the-command-test',
    B2_APPLICATION_KEY: 'key-of-the-command-test',
  })
  const [, url] = await outputOf(child).until(/Server listening at (http:[^"]+)/)
  t.same(await (await fetch(`${url}/health`)).json(), { status: 'ok' })
  child.kill('SIGTERM')
  t.match(await ended, { code: 0, stderr: '' })
}
