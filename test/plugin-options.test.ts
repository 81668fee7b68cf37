import Fastify from 'fastify'
import { Registry } from 'prom-client'
import t from 'tap'
import b2Uploads from '../index.ts'
import type { B2UploadsOptions } from '../index.ts'

const B2 = { endpoint: 'https://s3.us-west-004.backblazeb2.com', region: 'us-west-004', bucket: 'songs', applicationKeyId: 'an id', applicationKey: 'a secret' }

const BAD: [unknown, RegExp][] = [
  [{}, /option local must be an object with dir$/],
  [{ local: { dir: '' } }, /option local\.dir must be a text/],
  [{ local: { dir: './storage', minFreeBytes: -1 } }, /option local\.minFreeBytes must be a whole number of bytes of at least 0/],
  [{ local: { dir: './storage', directory: 'x' } }, /no option local\.directory; there are dir, minFreeBytes, required/],
  [{ b2: 'songs' }, /option b2 must be an object with endpoint, region, bucket, applicationKeyId, applicationKey$/],
  ...Object.keys(B2).map((name): [unknown, RegExp] => [{ b2: { ...B2, [name]: '' } }, new RegExp(`option b2\\.${name} must be`)]),
  [{ b2: { ...B2, endpoint: 's3.us-west-004.backblazeb2.com' } }, /option b2\.endpoint must be an http/],
  [{ b2: { ...B2, partBytes: 1_048_576 } }, /option b2\.partBytes must be a whole number of bytes of at least 5242880/],
  [{ b2: { ...B2, stallTimeoutMs: 99 } }, /option b2\.stallTimeoutMs must be a whole number of milliseconds of at least 100/],
  [{ b2: { ...B2, secretKey: 'a secret' } }, /no option b2\.secretKey/],
  [{ b2: B2, maxBytes: 10_000 * 8_388_608 + 1 }, /option maxBytes must be at most 83886080000/],
  [{ prefix: 'media' }, /option prefix must be a path that begins with \//],
  [{ routes: 'no' }, /option routes must be true or false/],
  [{ decoratorName: '' }, /option decoratorName/],
  [{ preHandler: [() => {}, 'x'] }, /option preHandler must be a function, or a list of functions/],
  [{ keyPrefix: '../' }, /option keyPrefix must be a relative path|option keyPrefix must be a relative prefix/],
  [{ maxBytes: 0 }, /option maxBytes/],
  [{ maxConcurrent: 1.5 }, /option maxConcurrent must be a whole number of at least 1/],
  [{ allowedTypes: 'audio/*' }, /option allowedTypes must be a list of media types/],
  [{ allowedTypes: ['audio'] }, /option allowedTypes/],
  [{ idleTimeoutMs: 2 ** 31 }, /option idleTimeoutMs/],
  [{ minRate: -1 }, /option minRate/],
  [{ windowBytes: 1_000 }, /option windowBytes/],
  [{ memoryBudgetBytes: 33_554_432 }, /memoryBudgetBytes must be at least windowBytes and two parts/],
  [{ breakerThreshold: '5' }, /option breakerThreshold must be a whole number of at least 0/],
  [{ breakerResetMs: 0 }, /option breakerResetMs/],
  [{ promoteIntervalMs: 50 }, /option promoteIntervalMs must be 0, or a whole number/],
  [{ shutdownGraceMs: null }, /option shutdownGraceMs/],
  [{ onStored: {} }, /option onStored must be a function/],
  [{ onPromoted: 'x' }, /option onPromoted must be a function/],
  [{ metrics: {} }, /option metrics\.registry must be a Registry of prom-client/],
  [{ metrics: { registry: new Registry(), prefix: '9_' } }, /option metrics\.prefix must be a text of letters/],
]

for (const [options, message] of BAD) {
  t.test(`ready() rejects: ${message.source}`, async t => {
    const app = Fastify()
    t.teardown(() => app.close())
    const isOfLocal = Object.keys(options as object).every(name => name === 'local')
    app.register(b2Uploads, { ...(isOfLocal ? {} : { local: { dir: t.testdir() } }), ...options as B2UploadsOptions })
    await t.rejects(async () => { await app.ready() }, { message })
  })
}

t.test('options of other plugins, and undefined, are let be', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(b2Uploads, { local: { dir: t.testdir() }, b2: undefined, maxBytes: undefined, promoteIntervalMs: 0, logLevel: 'warn', theirs: true } as never)
  await app.ready()
  t.match(await app.uploads.status(), { b2: { state: 'disabled' } })
})
