import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of the project. */
export const root = fileURLToPath(new URL('..', import.meta.url))
/** The service as it is shipped. */
export const service = path.join(root, 'dist', 'server.js')

const SOURCES = ['cli', 'services', 'routes', 'plugins', 'emulator']
const BUILD_SETTINGS = ['tsconfig.json', 'tsconfig.build.json']

/** Installs the peers if they are missing. */
export function installPeers (say) {
  if (existsSync(path.join(root, 'bench', 'node_modules'))) return
  say('installing what the service is compared with')
  run('npm', ['ci', '--prefix', 'bench', '--no-audit', '--no-fund'])
}

/** Builds the service if the build is missing or older than its sources. */
export function buildService (say) {
  if (existsSync(service) && statSync(service).mtimeMs >= newestSource()) return
  say('building the service')
  run('npm', ['run', 'build'])
}

/** A throwaway certificate for 127.0.0.1, as `{ key, cert }` files in `directory`; undefined without openssl. */
export function makeCertificate (directory) {
  const key = path.join(directory, 'key.pem')
  const cert = path.join(directory, 'cert.pem')
  const { status } = spawnSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert,
  ], { stdio: 'ignore' })
  return status === 0 ? { key, cert } : undefined
}

function newestSource () {
  const top = readdirSync(root).filter(name => name.endsWith('.ts'))
  const nested = SOURCES.flatMap(folder => readdirSync(path.join(root, folder), { recursive: true })
    .filter(name => name.endsWith('.ts')).map(name => path.join(folder, name)))
  return Math.max(...[...top, ...nested, ...BUILD_SETTINGS].map(name => statSync(path.join(root, name)).mtimeMs))
}

function run (command, args) {
  // The table on standard output stays clean.
  execFileSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] })
}
