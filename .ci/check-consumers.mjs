import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

// The package as it would be published, installed in an empty project, for each kind of project.
const root = fileURLToPath(new URL('../', import.meta.url))
const { version, devDependencies: versions, peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
// The compiler that is written anew, beside the one that the project is built with.
const NATIVE_TYPESCRIPT = 'typescript-7@npm:typescript@^7.0.2'
const project = mkdtempSync(join(tmpdir(), 'fastify-b2-uploads-consumer-'))
const run = (program, args, options = {}) => execFileSync(program, args, { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], ...options })

try {
  const [{ filename }] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', project], { cwd: root }).replace(/^[^[]*/, ''))
  cpSync(join(root, '.ci/consumer'), project, { recursive: true })
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  const install = fastify => run('npm', ['install', '--no-save', '--loglevel=error', `./${filename}`, `fastify@${fastify}`,
    `typescript@${versions.typescript}`, NATIVE_TYPESCRIPT, `@types/node@${versions['@types/node']}`])

  install(peerDependencies.fastify.replace('^', ''))
  check('ESM, with the oldest Fastify', ['upload.mjs'])
  install(peerDependencies.fastify)
  await checkCommands()
  check('ESM', ['upload.mjs'])
  check('CommonJS', ['upload.cjs'])
  cpSync(join(project, 'upload.ts'), join(project, 'upload.mts'))
  cpSync(join(project, 'upload.ts'), join(project, 'upload.cts'))
  const base = ['--strict', '--skipLibCheck', 'false']
  const strictest = ['--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--noPropertyAccessFromIndexSignature']
  compile('ESM of Node.js, the strictest settings', ['upload.mts', ...base, ...strictest, '--module', 'nodenext'], 'upload.mjs')
  compile('the same by TypeScript 7', ['upload.mts', ...base, ...strictest, '--module', 'nodenext'], undefined, 'typescript-7')
  compile('CommonJS of Node.js', ['upload.cts', ...base, '--module', 'node16', '--esModuleInterop'], 'upload.cjs')
  compile('CommonJS of old', ['upload.ts', ...base, '--module', 'commonjs', '--esModuleInterop'], 'upload.js')
  compile('for a bundler', ['upload.ts', ...base, '--module', 'esnext', '--moduleResolution', 'bundler'])
} finally {
  rmSync(project, { recursive: true, force: true })
}

/** As `npx` runs them, though the service without it, as a shell of npm's would keep the signal. */
async function checkCommands () {
  const npx = (...args) => run('npx', ['--no', '--', ...args])
  assert.equal(npx('fastify-b2-uploads', '--version'), `${version}\n`)
  assert.match(npx('fastify-b2-uploads', 'promote', '--help'), /^Usage: fastify-b2-uploads promote /)
  assert.match(npx('fastify-b2-uploads-promote', '--help'), /^Usage: fastify-b2-uploads promote /)
  const log = join(project, 'log')
  const child = spawn(join(project, 'node_modules/.bin/fastify-b2-uploads'), {
    cwd: project, env: { PATH: process.env.PATH, PORT: '0', LOCAL_STORAGE_DIR: join(project, 'commands') }, stdio: ['ignore', openSync(log, 'w'), 'inherit'],
  })
  const ended = once(child, 'exit')
  try {
    run(process.execPath, [join(root, '.ci/check-start.mjs'), log])
  } finally {
    child.kill('SIGTERM')
  }
  assert.deepEqual(await ended, [0, null])
  console.log('commands: ok')
}

function check (kind, [program]) {
  const dir = join(project, 'storage')
  mkdirSync(dir)
  assert.equal(run(process.execPath, ['--no-warnings', program, dir]), 'stored and removed\n', kind)
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()).map(({ name }) => name)
  assert.deepEqual(files.filter(name => name !== '.bucket.json'), [], 'nothing but what says whose the directory is')
  rmSync(dir, { recursive: true })
  console.log(`${kind}: ok`)
}

/** @param program what to run then */
function compile (kind, args, program, compiler = 'typescript') {
  const out = join(project, 'out')
  run(process.execPath, [`node_modules/${compiler}/bin/tsc`, ...args, '--outDir', out], { stdio: 'inherit' })
  if (program === undefined) console.log(`TypeScript, ${kind}: ok`)
  else check(`TypeScript, ${kind}`, [join(out, program)])
  rmSync(out, { recursive: true })
}
