import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'
import type { Server } from '../clients/download.ts'

/** Path of the nginx that is installed; undefined where there is none. */
export function findNginx (): string | undefined {
  return (process.env['PATH'] ?? '').split(delimiter).map(directory => join(directory, 'nginx')).find(path => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** An nginx as it comes, with static files of that date, by name; it ends with the test. */
export async function startNginx (t: Test, nginx: string, files: Record<string, Uint8Array>, date: Date): Promise<Server> {
  const dir = await nginxDirectory(t)
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(dir, name), content)
    await utimes(join(dir, name), date, date)
  }
  await runNginx(t, nginx, dir, `access_log off; server { listen unix:${dir}/socket; root ${dir}; }`)
  return { socketPath: join(dir, 'socket') }
}

/** A directory for all that an nginx reads and writes; it goes with the test. */
export async function nginxDirectory (t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-nginx-'))
  t.teardown(async () => { await rm(dir, { recursive: true, force: true }) })
  return dir
}

/** Starts an nginx with that text as its `http` block. Returns the function that ends it; it ends with the test, at the latest. */
export async function runNginx (t: Test, nginx: string, dir: string, http: string): Promise<() => Promise<void>> {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${dir}/tmp;`).join(' ')
  await writeFile(join(dir, 'nginx.conf'), `daemon off; master_process off; pid ${dir}/pid; error_log stderr notice; events {}\nhttp { ${temporary} ${http} }`)
  const child = spawn(nginx, ['-e', 'stderr', '-p', dir, '-c', join(dir, 'nginx.conf')], { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(child, 'exit')
  const end = async (): Promise<void> => {
    child.kill()
    await exited
  }
  t.teardown(end)
  // Its first notice comes when it listens.
  const [text] = await once(child.stderr, 'data')
  if (/\[emerg\]/.test(String(text))) throw new Error(`nginx did not start: ${text}`)
  child.stderr.resume()
  return end
}
