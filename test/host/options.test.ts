import Fastify from 'fastify'
import { Registry } from 'prom-client'
import t from 'tap'
import b2Uploads from '../../index.ts'
import type { B2UploadsOptions } from '../../index.ts'

const B2 = { endpoint: 'https://s3.us-west-004.backblazeb2.com', region: 'us-west-004', bucket: 'songs', applicationKeyId: 'an id', applicationKey: 'a secret' }

const BAD: [unknown, RegExp][] = [
  [{}, /option local must be an object with dir$/],
  [{ local: null }, /option local must be an object with dir$/],
  [{ local: { dir: '' } }, /option local\.dir must be a text/],
  [{ local: { dir: './storage', minFreeBytes: -1 } }, /option local\.minFreeBytes must be a whole number of bytes of at least 0$/],
  [{ local: { dir: './storage', directory: 'x' } }, /no option local\.directory; there are dir, minFreeBytes, required/],
  [{ b2: 'songs' }, /option b2 must be an object with endpoint, region, bucket, applicationKeyId, applicationKey$/],
  ...Object.keys(B2).map((name): [unknown, RegExp] => [{ b2: { ...B2, [name]: '' } }, new RegExp(`option b2\\.${name} must be`)]),
  [{ b2: { ...B2, endpoint: 's3.us-west-004.backblazeb2.com' } }, /option b2\.endpoint must be an http/],
  ...[1, 'ftp://s3.example.com', 'xhttps://s3.example.com', 'httpsx://s3.example.com', ['https://s3.example.com']]
    .map((endpoint): [unknown, RegExp] => [{ b2: { ...B2, endpoint } }, /option b2\.endpoint must be an http/]),
  ...[1_048_576, 2_147_483_648].map((partBytes): [unknown, RegExp] =>
    [{ b2: { ...B2, partBytes } }, /option b2\.partBytes must be a whole number of bytes of at least 5242880 and at most 2147483647/]),
  [{ b2: { ...B2, stallTimeoutMs: 99 } }, /option b2\.stallTimeoutMs must be a whole number of milliseconds of at least 100/],
  [{ b2: { ...B2, secretKey: 'a secret' } }, /no option b2\.secretKey/],
  [{ b2: B2, maxBytes: 10_000 * 8_388_608 + 1 }, /option maxBytes must be at most 83886080000/],
  [{ b2: { ...B2, partBytes: 5_242_880 }, maxBytes: 10_000 * 5_242_880 + 1 }, /option maxBytes must be at most 52428800000/],
  ...['media', 'media/', 1, ['/media']].map((prefix): [unknown, RegExp] => [{ prefix }, /option prefix must be a path that begins with \//]),
  [{ routes: 'no' }, /option routes must be true or false/],
  [{ decoratorName: '' }, /option decoratorName/],
  [{ preHandler: [() => {}, 'x'] }, /option preHandler must be a function, or a list of functions/],
  [{ keyPrefix: '../' }, /option keyPrefix must be a relative prefix/],
  [{ keyPrefix: 1 }, /option keyPrefix must be a text$/],
  ...['B2_BUCKET', ['B2_BUCKET', 1]].map((missing): [unknown, RegExp] => [{ missing }, /option missing must be a list of names/]),
  [{ maxBytes: 0 }, /option maxBytes/],
  [{ maxConcurrent: 1.5 }, /option maxConcurrent must be a whole number of at least 1/],
  [{ allowedTypes: 'audio/*' }, /option allowedTypes must be a list of media types/],
  ...['audio', 'audio/', '/mpeg', 'audio/mp*', 'audio/mpeg/x', 'an audio/mpeg', 'audio/mpeg; x=y', ['audio/mpeg']]
    .map((type): [unknown, RegExp] => [{ allowedTypes: ['image/png', type] }, /option allowedTypes must be a list/]),
  [{ idleTimeoutMs: 2 ** 31 }, /option idleTimeoutMs/],
  [{ minRate: -1 }, /option minRate/],
  [{ windowBytes: 1_000 }, /option windowBytes/],
  [{ memoryBudgetBytes: 33_554_432 }, /option memoryBudgetBytes must be at least windowBytes and two parts: 35651584$/],
  [{ breakerThreshold: '5' }, /option breakerThreshold must be a whole number of at least 0/],
  [{ breakerResetMs: 0 }, /option breakerResetMs/],
  [{ promoteIntervalMs: 50 }, /option promoteIntervalMs must be 0, or a whole number/],
  [{ b2: { ...B2, unfinishedMaxAgeMs: 86_399_999 } }, /option b2\.unfinishedMaxAgeMs must be 0, or a whole number of milliseconds of at least 86400000/],
  ...[true, null, 1_000].map((resumable): [unknown, RegExp] => [{ resumable }, /option resumable must be an object with maxAgeMs, or false$/]),
  [{ resumable: { maxAgeMs: 99 } }, /option resumable\.maxAgeMs must be 0, or a whole number of milliseconds of at least 100/],
  [{ resumable: { ageMs: 100 } }, /no option resumable\.ageMs; there are maxAgeMs$/],
  [{ b2: { ...B2, unfinishedMaxAgeMs: 86_400_000 } }, /option b2\.unfinishedMaxAgeMs must be 0 or more than resumable\.maxAgeMs, so at least 86400001: or set a smaller resumable\.maxAgeMs$/],
  [{ shutdownGraceMs: null }, /option shutdownGraceMs/],
  [{ onStored: {} }, /option onStored must be a function/],
  [{ onPromoted: 'x' }, /option onPromoted must be a function/],
  [{ metrics: {} }, /option metrics\.registry must be a Registry of prom-client/],
  ...['9_', 'a-b', ' a', 'a ', ['a']]
    .map((prefix): [unknown, RegExp] => [{ metrics: { registry: new Registry(), prefix } }, /option metrics\.prefix must be a text of letters/]),
]

const LONGEST_MS = 2 ** 31 - 1
const nothing = (): void => {}

// Each at its bounds, where it has some.
const GOOD: Partial<B2UploadsOptions>[] = [
  { prefix: '' },
  { prefix: '/media', routes: true, preHandler: async () => {} },
  { routes: false, preHandler: [async () => {}, async () => {}] },
  { keyPrefix: '', decoratorName: 'files' },
  { keyPrefix: 'a/b-', maxBytes: 1, maxConcurrent: 1, minRate: 0, breakerThreshold: 0 },
  { maxBytes: Number.MAX_SAFE_INTEGER, maxConcurrent: Number.MAX_SAFE_INTEGER },
  { allowedTypes: [] },
  { allowedTypes: ['audio/*', 'image/svg+xml', 'application/vnd.a-b_c.d^e'] },
  { idleTimeoutMs: 100, breakerResetMs: 100, promoteIntervalMs: 100, shutdownGraceMs: 0 },
  { idleTimeoutMs: LONGEST_MS, breakerResetMs: LONGEST_MS, promoteIntervalMs: LONGEST_MS, shutdownGraceMs: LONGEST_MS },
  { windowBytes: 1_048_576, memoryBudgetBytes: 33_554_432, missing: ['B2_BUCKET'] },
  { onStored: nothing, onPromoted: nothing },
  ...['', ':a_Z9', 'b'].map(prefix => ({ metrics: { registry: new Registry(), prefix } })),
  { b2: { ...B2, endpoint: 'http://127.0.0.1:9000' } },
  { b2: { ...B2, connectTimeoutMs: 100, stallTimeoutMs: LONGEST_MS, maxAttempts: 1, partBytes: 5_242_880, concurrency: 1 }, maxBytes: 10_000 * 5_242_880 },
  { b2: { ...B2, forcePathStyle: false, signParts: true }, maxBytes: 10_000 * 8_388_608 },
  { b2: { ...B2, unfinishedMaxAgeMs: 86_400_000 }, resumable: false },
  { b2: { ...B2, unfinishedMaxAgeMs: 86_400_000 }, resumable: { maxAgeMs: 86_399_999 } },
  { b2: { ...B2, unfinishedMaxAgeMs: 0 }, resumable: { maxAgeMs: LONGEST_MS } },
  { resumable: {} },
  { resumable: { maxAgeMs: 0 } },
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

for (const [index, options] of GOOD.entries()) {
  t.test(`ready() resolves with ${Object.keys(options).join(', ')} (${index})`, async t => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.register(b2Uploads, { local: { dir: t.testdir(), minFreeBytes: 0, required: true }, ...options })
    await t.resolves(async () => { await app.ready() })
  })
}

t.test('a directory is refused to a second registration with another bucket, as long as the first is there', async t => {
  const dir = t.testdir()
  const start = async (b2: typeof B2 | undefined) => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.register(b2Uploads, { b2, local: { dir } })
    await app.ready()
    return app
  }
  const first = await start(B2)
  const again = await start(B2)
  for (const b2 of [{ ...B2, bucket: 'others' }, undefined]) {
    await t.rejects(start(b2), { name: 'TypeError', message: /option local\.dir must be another directory: this one is in use with another bucket/ })
  }
  await first.close()
  await t.rejects(start(undefined), { message: /option local\.dir/ })
  await again.close()
  await (await start(undefined)).close()
  await t.rejects(start({ ...B2, bucket: 'others' }), { name: 'WrongBucketError' }, 'after that the directory itself says so')
})

t.test('options of other plugins, and undefined, are let be', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(b2Uploads, { local: { dir: t.testdir() }, b2: undefined, maxBytes: undefined, promoteIntervalMs: 0, logLevel: 'warn', theirs: true } as never)
  await app.ready()
  t.match(await app.uploads.status(), { b2: { state: 'disabled' } })
})
