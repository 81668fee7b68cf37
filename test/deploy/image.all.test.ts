import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, statSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { validate } from 'dockerfile-utils'
import t from 'tap'
import { ConfigSchema } from '../../services/config/schema.ts'
import { isProduction, parseConfig } from '../../services/config/config.ts'
import { outputOf } from '../support/docs/demo.ts'
import { commandOf, DOCKERFILE, environmentOf, imageOf, instructions, lastOf, pairsIn, stages } from '../support/deploy/dockerfile.ts'
import type { Instruction } from '../support/deploy/dockerfile.ts'
import { readDocument } from '../support/docs/markdown.ts'
import { bytes, put, startService } from '../support/service/service.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const manifest = JSON.parse(readDocument('package.json'))
/** The stages that are run, as opposed to those that build. */
const IMAGES = ['service', 'emulator']

/** What is copied out of the repository, without slashes at the end. */
function sourcesOf (instructions: readonly Instruction[]): string[] {
  return instructions.filter(({ name, flags }) => name === 'COPY' && flags['from'] === undefined)
    .flatMap(({ rest }) => rest.split(/\s+/).slice(0, -1).map(source => source.replace(/\/$/, '')))
}

/** Files of the repository that a source stands for. */
function filesOf (source: string): string[] {
  if (source.startsWith('*')) return readdirSync(ROOT).filter(file => file.endsWith(source.slice(1)))
  const found = statSync(join(ROOT, source), { throwIfNoEntry: false })
  if (!found?.isDirectory()) return found === undefined ? [] : [source]
  return readdirSync(join(ROOT, source), { recursive: true, encoding: 'utf8' }).map(file => join(source, file))
}

/** What the modules among some files import. */
function importsOf (files: readonly string[]): { file: string, imported: string }[] {
  return files.filter(file => /\.(ts|mjs)$/.test(file)).flatMap(file =>
    [...readDocument(file).matchAll(/(?:\bfrom |\bimport ?\(?)'([^']+)'/g)].map(([, imported]) => ({ file, imported: imported! })))
}

t.test('a linter finds nothing wrong with the Dockerfile', async t => {
  t.same(validate(DOCKERFILE).map(({ message, range }) => `line ${range.start.line + 1}: ${message}`), [])
})

t.test('all stages come from one base of a full version that the package supports, and nothing is fetched but by npm ci', async t => {
  const [first] = instructions
  const [[name, base]] = pairsIn(first!.rest) as [[string, string]]
  t.equal(first!.name, 'ARG')
  const [, major] = /^node:(\d+)\.\d+\.\d+-bookworm-slim$/.exec(base) ?? []
  t.ok(Number(major) > 20, `${base} for ${manifest.engines.node}`)
  for (const [index, { from }] of stages.entries()) t.ok([`\${${name}}`, ...stages.slice(0, index).map(({ name }) => name)].includes(from), from)
  const ALLOWED = /^(npm ci --ignore-scripts$|npm run build$|npm pkg delete |find dist |mv dist|rm -rf |install --directory )/
  for (const { name, rest, flags } of instructions) {
    t.not(name, 'ADD')
    if (name === 'RUN') for (const command of rest.split(/\s+&&\s+/)) t.match(command, ALLOWED)
    if (name === 'COPY' && flags['from'] !== undefined) t.ok(stages.some(({ name }) => name === flags['from']), flags['from'])
  }
})

t.test('the images have no npm, no sources and no development dependencies', async t => {
  t.equal(stages.at(-1)!.name, 'service', 'the one that a build without a target makes')
  for (const image of IMAGES) {
    t.same(sourcesOf(imageOf(image)).filter(source => !['LICENSE', 'package.json'].includes(source)), [])
    const [first, ...others] = imageOf(image).filter(({ name }) => name === 'RUN')
    t.match(first!.rest, /^rm -rf .*\/usr\/local\/lib\/node_modules .*\/usr\/local\/bin\/npm /)
    t.same(others, [])
  }
  t.match(lastOf('dependencies', 'RUN'), /^npm pkg delete devDependencies\s+&& npm ci --ignore-scripts$/)
})

t.test('each image runs as a user without a name, tells its health, and gets signals without a shell between', async t => {
  for (const image of IMAGES) {
    t.match(lastOf(image, 'USER'), /^([1-9]\d{4}):\1$/)
    t.equal(lastOf(image, 'ENTRYPOINT'), '[]')
    t.equal(lastOf(image, 'STOPSIGNAL'), 'SIGTERM')
    t.match(commandOf(image, 'CMD'), ['node', /\.js$/])
    t.match(commandOf(image, 'HEALTHCHECK'), ['node', '--eval', /./])
    t.equal(lastOf(image, 'EXPOSE'), environmentOf(image)['PORT'])
    t.equal(lastOf(image, 'WORKDIR'), '/app')
  }
})

t.test('the service is strict, listens for others and stores below the volume, and no secret is in an image', async t => {
  const environment = environmentOf('service')
  t.same(Object.keys(environment).filter(name => !(name in ConfigSchema.properties)), [])
  const config = parseConfig({
    ...environment, B2_ENDPOINT: 'https://s3.us-west-004.backblazeb2.com', B2_BUCKET: 'a-bucket', B2_APPLICATION_KEY_ID: 'id', B2_APPLICATION_KEY: 'key',
  })
  t.match(config, { HOST: '0.0.0.0', PORT: ConfigSchema.properties.PORT.default })
  t.ok(isProduction(config))
  const volume = lastOf('service', 'VOLUME')
  t.equal(dirname(config.LOCAL_STORAGE_DIR), volume)
  const [user] = lastOf('service', 'USER').split(':')
  t.ok(lastOf('runtime', 'RUN').endsWith(`install --directory --owner=${user} --group=${user} --mode=0750 ${volume}`), 'which is made for its user')
  for (const { rest } of instructions.filter(({ name }) => name === 'ENV' || name === 'ARG')) {
    for (const [name] of pairsIn(rest)) t.notMatch(name, /KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL/i)
  }
})

t.test('the labels say what the package says', async t => {
  const labels = Object.fromEntries(pairsIn(lastOf('service', 'LABEL')))
  t.equal(labels['org.opencontainers.image.title'], manifest.name)
  t.equal(labels['org.opencontainers.image.version'], manifest.version)
  t.equal(labels['org.opencontainers.image.licenses'], manifest.license)
  t.ok(manifest.description.startsWith(labels['org.opencontainers.image.description']))
})

t.test('a build gets what it copies, all of which is there, and nothing else', async t => {
  const sources = [...new Set(sourcesOf(instructions))]
  for (const source of sources) t.ok(filesOf(source).length > 0, `${source} is there`)
  const [first, ...exceptions] = readDocument('.dockerignore').split('\n').filter(line => line !== '' && !line.startsWith('#'))
  t.equal(first, '*')
  t.same(exceptions.sort(), sources.map(source => `!${source}`).sort())
})

t.test('a build has every module that it needs', async t => {
  const files = sourcesOf(imageOf('build')).flatMap(filesOf)
  for (const path of JSON.parse(readDocument('tsconfig.build.json')).include as string[]) {
    t.ok(filesOf(path).every(file => files.includes(file)), `${path} of tsconfig.build.json`)
  }
  t.same(importsOf(files).filter(({ file, imported }) => imported.startsWith('.') && !files.includes(join(dirname(file), imported))), [])
})

t.test('the images have every package that is imported there', async t => {
  const packagesOf = (sources: string[]): string[] => importsOf(sources.flatMap(filesOf)).map(({ imported }) => imported)
    .filter(imported => !imported.startsWith('.') && !isBuiltin(imported))
    .map(imported => imported.split('/').slice(0, imported.startsWith('@') ? 2 : 1).join('/'))
  const ofService = packagesOf(['*.ts', 'cli', 'plugins', 'routes', 'services'])
  t.ok(ofService.includes('fastify') && ofService.includes('@aws-sdk/client-s3'))
  const installed = { ...manifest.dependencies, ...manifest.peerDependencies }
  t.same(ofService.filter(name => !(name in installed)), [])
  t.same(packagesOf(['emulator']), [], 'that of the emulator has none')
  const outside = importsOf(filesOf('emulator')).filter(({ file, imported }) => imported.startsWith('.') && !join(dirname(file), imported).startsWith('emulator/'))
  t.same(outside, [], 'nor anything but the emulator')
})

/** Runs an image's check of its health. Resolves with the exit code. */
async function health (image: string, url: string): Promise<number> {
  const [, ...args] = commandOf(image, 'HEALTHCHECK')
  const [code] = await once(execFile(process.execPath, args, { env: { PORT: new URL(url).port } }), 'exit')
  return code
}

t.test('the checks of health pass beside the service, and beside the emulator as a process of its own, and fail when these have ended', async t => {
  const b2 = { B2_BUCKET: 'a-bucket', B2_REGION: 'eu-central-003', B2_APPLICATION_KEY_ID: 'an-id', B2_APPLICATION_KEY: 'a-key' }
  const child = spawn(process.execPath, [`--import=${import.meta.resolve('tsx')}`, join(ROOT, 'emulator/serve.ts')], {
    env: { ...b2, HOST: '127.0.0.1', PORT: '0' }, stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(child, 'exit')
  t.teardown(() => { child.kill('SIGKILL') })
  const output = outputOf(child)
  const [, endpoint] = await output.until(/listening at (http:\S+), bucket a-bucket, region eu-central-003;/)

  const service = await startService(t, { ...b2, B2_ENDPOINT: endpoint!, API_KEYS: 'a-key' })
  const { body } = await put(service, bytes(10), 'a.bin', { authorization: 'Bearer a-key' })
  t.equal(body.storage, 'b2')
  await output.until(new RegExp(`PutObject ${body.location} 200`))

  t.equal(await health('service', service.url), 0)
  t.equal(await health('emulator', endpoint!), 0)
  child.kill('SIGTERM')
  t.same(await exited, [0, null])
  t.equal(await health('emulator', endpoint!), 1)
  await service.app.close()
  t.equal(await health('service', service.url), 1)
})
