import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { DCLinter } from 'dclint'
import t from 'tap'
import { parse } from 'yaml'
import { ConfigSchema } from '../../services/config/schema.ts'
import { isProduction, parseConfig } from '../../services/config/config.ts'
import { environmentOf, lastOf, stages } from '../support/deploy/dockerfile.ts'
import { readDocument } from '../support/docs/markdown.ts'
import { memoryFor } from '../support/service/memory-limit.ts'

const PATH = fileURLToPath(new URL('../../compose.yaml', import.meta.url))
const text = readFileSync(PATH, 'utf8')
const { services, volumes } = parse(text, { merge: true })
const config = parseConfig({ ...environmentOf('service'), ...services.uploads.environment })

const inMilliseconds = (text: string): number => Number(/^(\d+)s$/.exec(text)![1]) * 1_000
const inBytes = (text: string): number => Number(/^(\d+)m$/.exec(text)![1]) * 1_048_576

t.test('a linter finds nothing wrong with the compose file', async t => {
  const [result] = new DCLinter({ rules: {}, quiet: false, debug: false, exclude: [] }).lintFiles([PATH], false)
  t.same(result!.messages, [])
})

t.test('the service is given variables that it knows, and is told of the emulator by the name and port that this one has', async t => {
  t.same(Object.keys(services.uploads.environment).filter(name => !(name in ConfigSchema.properties)), [])
  t.ok(isProduction(config))
  t.equal(config.B2_ENDPOINT, `http://b2:${environmentOf('emulator')['PORT']}`)
  const read = /const \{ (.+) \} = process\.env/.exec(readDocument('emulator/serve.ts'))![1]!.split(', ')
  t.same(Object.keys(services.b2.environment).filter(name => !read.includes(name)), [])
  for (const [name, value] of Object.entries(services.b2.environment)) t.equal(services.uploads.environment[name], value, `${name} is the same on both sides`)
  t.same(services.uploads.depends_on, { b2: { condition: 'service_healthy' } })
})

t.test('both are built from stages that there are, and can write nowhere but to the volume of the fallback', async t => {
  t.equal(services.b2.build.target, 'emulator')
  t.equal(services.uploads.build.target ?? stages.at(-1)!.name, 'service')
  for (const service of Object.values<any>(services)) {
    t.match(service, { read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] })
    t.notOk(service.user, 'the user is the image\'s')
    t.notOk(service.privileged)
    t.notOk(service.healthcheck.test, 'and so is the check of its health')
  }
  t.same(services.uploads.volumes, [`storage:${lastOf('service', 'VOLUME')}`])
  t.same(Object.keys(volumes), ['storage'])
  t.notOk(services.b2.volumes)
})

t.test('only this machine reaches the service, and nobody else the emulator', async t => {
  t.same(services.uploads.ports, [`127.0.0.1:${config.PORT}:${config.PORT}`])
  t.notOk(services.b2.ports)
})

t.test('the service is not killed before its grace is over, nor for the memory that it may have', async t => {
  t.ok(inMilliseconds(services.uploads.stop_grace_period) > config.SHUTDOWN_GRACE_MS + 10_000)
  t.ok(inBytes(services.uploads.mem_limit) >= memoryFor(config.MEMORY_BUDGET_BYTES))
})
