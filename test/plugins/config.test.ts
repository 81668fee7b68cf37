import { Writable } from 'node:stream'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import configPlugin from '../../plugins/config.ts'
import { ConfigError } from '../../services/config/errors.ts'
import { parseConfig } from '../../services/config/config.ts'
import type { Environment } from '../../services/config/config.ts'

const b2: Environment = {
  B2_ENDPOINT: 'https://s3.us-west-004.backblazeb2.com',
  B2_BUCKET: 'songs',
  B2_APPLICATION_KEY_ID: '004abcdef0123456789',
  B2_APPLICATION_KEY: 'K004verysecret'
}

interface Line { level: number, msg: string }

/** An app with the plugin registered, and the lines it logs. */
function build (t: Test, env?: Environment) {
  const lines: Line[] = []
  const stream = new Writable({
    write (chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)))
      done()
    }
  })
  const app = Fastify({ logger: { stream } })
  t.teardown(() => app.close())
  app.register(configPlugin, { env })
  return { app, lines }
}

t.test('decorates the app with the parsed environment', async t => {
  const env = { ...b2, PORT: '0', API_KEYS: 'one' }
  const { app, lines } = build(t, env)
  await app.ready()
  t.strictSame(app.config, parseConfig(env))
  t.ok(app.hasPlugin('config'))
  t.strictSame(lines, [])
})

t.test('warns in production without API keys', async t => {
  const { app, lines } = build(t, { ...b2, ENV: 'production' })
  await app.ready()
  t.equal(lines.length, 1)
  t.match(lines[0], { level: 40, msg: /API_KEYS is not set: the upload endpoint is open to everyone/ })
})

t.test('warns once of entries that were tokens with a colon in 1.0, without what may be the beginning of one', async t => {
  const { app, lines } = build(t, { ...b2, API_KEYS: 'plain,half-a-token:the-other-half,web:second:read,other:third' })
  await app.ready()
  t.equal(lines.length, 1)
  t.match(lines[0], { level: 40, msg: /^API_KEYS: entry 2, 4 has one colon, and is read as label:token/ })
  t.notMatch(JSON.stringify(lines), /half|other:/)
})

t.test('says nothing in production when all is set', async t => {
  const { app, lines } = build(t, { ...b2, ENV: 'production', API_KEYS: 'a-token-of-more-than-16-characters,web:another-token-of-this-kind:read' })
  await app.ready()
  t.strictSame(lines, [])
})

t.test('an environment that is no good rejects ready with all of it', async t => {
  const { app } = build(t, { NODE_ENV: 'production', PORT: 'http' })
  const error = await Promise.resolve(app.ready()).catch((error: unknown) => error)
  if (!(error instanceof ConfigError)) return t.fail('no ConfigError')
  t.strictSame(error.variables, ['PORT', 'B2_ENDPOINT', 'B2_BUCKET', 'B2_APPLICATION_KEY_ID', 'B2_APPLICATION_KEY'])
})

t.test('does not look at the process by itself', async t => {
  const { app } = build(t)
  await t.rejects(async () => { await app.ready() }, { message: /needs the option `env`/ })
})
