import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { FastifyRequest } from 'fastify'
import { callerOf } from '../../../routes/http/caller.ts'
import apiKeys from '../../../plugins/api-keys.ts'
import b2Uploads from '../../../index.ts'
import type { ApiKey } from '../../../services/config/api-keys.ts'

const request = {} as FastifyRequest

t.test('a host says who its callers are, or there are none', async t => {
  t.equal(callerOf(request, undefined), undefined)
  t.equal(callerOf(request, given => given === request ? 'user 1' : 'nobody'), 'user 1')
  t.equal(callerOf(request, () => ''), '')
  for (const bad of [undefined, null, 1, Promise.resolve('user 1')]) {
    t.throws(() => callerOf(request, () => bad as never), { error_code: 'internal_error', message: /option caller/ })
  }
})

/** The callers of requests with these tokens, of those that came in. */
async function callersBehind (t: Test, keys: ApiKey[], tokens: string[]): Promise<string[]> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(apiKeys, { keys, open: [] })
  app.get('/', async request => request.caller)
  const answers = await Promise.all(tokens.map(async token => await app.inject({ url: '/', headers: { authorization: `Bearer ${token}` } })))
  return answers.flatMap(({ statusCode, body }) => statusCode === 200 ? body : [])
}

t.test('in the service it is the label of the API key, or what tells nothing of the key', async t => {
  const keys = [{ label: 'phone', token: 'first-token' }, { token: 'second-token' }, { token: 'fourth-token' }]
  const callers = await callersBehind(t, keys, ['first-token', 'second-token', 'third-token', 'fourth-token'])
  t.match(callers, ['label phone', /^token [0-9a-f]{64}$/, /^token [0-9a-f]{64}$/])
  t.equal(new Set(callers).size, 3)
})

t.test('nobody if no key is asked for', async t => {
  t.same(await callersBehind(t, [], ['first-token']), [''])
})

t.test('the option is checked', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(async () => await app.register(b2Uploads, { local: { dir: t.testdir() }, caller: 'me' as never }), /option caller must be a function/)
})
