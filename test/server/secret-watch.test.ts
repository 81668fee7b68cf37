import { fork } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { findSecret, learn, learnFromEnv, learnFromHeader, withoutSecret } from '../support/run/secrets.ts'

const HEX = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
const KEY_ID = '005a1b2c3d4e5f60000000007'
const SIGNED = `AWS4-HMAC-SHA256 Credential=${KEY_ID}/20250101/us-west-004/s3/aws4_request, SignedHeaders=host, Signature=${HEX}`

t.test('each kind of secret is found by its form', async t => {
  for (const [kind, text] of [
    ['an application key', '{"key":"K005abcdefghijklmnopqrstuvwxyz+"}'],
    ['a key id', `The key '${KEY_ID}' is not valid`],
    ['credentials', 'Bearer 0123456789abcdef'],
    ['credentials', 'got Basic dXNlcjpwYXNzd29yZA== of a client'],
    ['a signed Authorization header', SIGNED.replace(KEY_ID, '***')],
    ['a signature', `Signature=${HEX}`],
    ['a signature', `https://s3.example/b/k?X-Amz-Signature=${HEX}`],
    ['credentials of a presigned URL', 'https://s3.example/b/k?X-Amz-Credential=AKIA%2F20250101'],
    ['a session token', '{"x-amz-security-token":"FwoGZXIvYXdzE"}'],
    ...['authorization', 'Authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key'].map(name => ['a header with credentials', JSON.stringify({ headers: { [name]: 'x' } })]),
    ['a header with credentials', JSON.stringify({ msg: JSON.stringify({ authorization: 'x' }) })],
  ] as const) t.equal(findSecret(text)?.kind, kind, text.slice(0, 20))
})

t.test('what services say is no secret', async t => {
  for (const text of [
    '', 'Send "Authorization: Bearer …".', 'Authorization: Bearer <key>', '{"authorization":"***"}', `{"sha256":"${HEX}"}`, 'Credential=***/20250101, Signature=abc',
    '{"key":"tracks/019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001.mp3"}', '4_ze0a7b9c8d6f5000000000001_f2000000000000001_d20261124_m150638_c004_v0402000_t0269', 'bearer tokens, comma-separated',
  ]) t.equal(findSecret(text), undefined, text)
})

t.test('what is configured or sent is a secret from then on, whatever it looks like', async t => {
  const line = (secret: string): string => JSON.stringify({ detail: `It was ${secret}.` })
  for (const [secret, kind, learnIt] of [
    ['any-secret', 'a thing', () => learn('any-secret', 'a thing')],
    ['an.application(key', 'an application key', () => learnFromEnv({ B2_APPLICATION_KEY: 'an.application(key' })],
    ['id-of-a-key', 'a key id', () => learnFromEnv({ B2_APPLICATION_KEY_ID: 'id-of-a-key' })],
    ['second-api-key', 'an API key', () => learnFromEnv({ API_KEYS: 'first-api-key, second-api-key' })],
    ['token-of-a-client', 'credentials that were sent', () => learnFromHeader('Bearer token-of-a-client')],
    ['dXNlcjpwYXNz', 'credentials that were sent', () => learnFromHeader('Basic dXNlcjpwYXNz')],
    ['short-id', 'a key id', () => learnFromHeader(SIGNED.replace(KEY_ID, 'short-id'))],
    [HEX, 'a signature', () => learnFromHeader(SIGNED)],
  ] as const) {
    if (secret !== HEX) t.equal(findSecret(line(secret)), undefined)
    learnIt()
    const found = findSecret(line(secret))
    t.equal(found?.kind, kind)
    t.notOk(withoutSecret(line(secret), found!).includes(secret), 'what is said of it does not repeat it')
    t.equal(findSecret(line(`x${secret}x`)), undefined, 'a word that only has it in it is another one')
  }
})

t.test('whatever way a secret is written, the test fails', async t => {
  const child = fork(new URL('../fixtures/leaks.ts', import.meta.url), { execArgv: [`--import=${import.meta.resolve('tsx')}`], stdio: ['ignore', 'ignore', 'ignore', 'ipc'], env: { PATH: process.env['PATH'] } })
  t.teardown(() => { child.kill('SIGKILL') })
  const said: string[] = []
  child.on('message', message => { said.push(String(message)) })
  t.same(await once(child, 'exit'), [0, null])
  t.match(said, [
    /^There is credentials that were sent in a line of the log: .*"token":"\*\*\*"/, /in what is printed: \*\*\*/, /in what is written to standard error: Error: \*\*\*/,
    /in what a process writes: \*\*\*/, /^There is an API key in what a process writes: \*\*\*/,
  ])
  t.equal(said.length, 5)
})

t.test('this process is watched, as all tests are', async t => {
  t.ok(process.execArgv.includes('--import=./test/support/run/secret-watch.ts'), 'see .taprc')
})
