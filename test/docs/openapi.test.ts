import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import swagger from '@fastify/swagger'
import t from 'tap'
import b2Uploads from '../../index.ts'
import { b2Env, startB2, startService } from '../support/service/service.ts'

interface Operation {
  operationId: string
  summary: string
  description: string
  tags: string[]
  responses: Record<string, { description: string, content?: Record<string, { schema: object, examples?: object }> }>
}
interface Document { openapi: string, info: { version: string }, paths: Record<string, Record<string, Operation>>, components: { schemas: Record<string, object> } }

const committed = JSON.parse(readFileSync(new URL('../../openapi.json', import.meta.url), 'utf8')) as Document
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

t.test('openapi.json is what the service serves, with B2 and without, and needs no key', async t => {
  const services = [await startService(t, { API_KEYS: 'a-key-that-is-long-enough' }), await startService(t, b2Env(await startB2(t)))]
  for (const { url } of services) {
    const response = await fetch(`${url}/documentation/json`)
    t.equal(response.status, 200)
    t.strictSame(await response.json(), committed, 'else: npm run openapi')
    t.equal((await fetch(`${url}/documentation/`)).status, 200)
  }
  t.equal(committed.info.version, version)
})

t.test('every operation says all that a client has to know', async t => {
  const ids = new Set<string>()
  for (const [path, operations] of Object.entries(committed.paths)) {
    for (const [method, { operationId, summary, description, tags, responses }] of Object.entries(operations)) {
      t.ok(operationId && summary && description && tags.length === 1, `${method} ${path}`)
      ids.add(operationId)
      for (const [status, { description, content }] of Object.entries(responses)) {
        t.ok(description && description !== 'Default Response', `${method} ${path} ${status}`)
        if (Number(status) < 400 || content === undefined) continue
        const { schema, examples } = content['application/json']!
        if (path !== '/ready') t.same(schema, { $ref: '#/components/schemas/ErrorAnswer' })
        if (path !== '/ready') t.ok(Object.keys(examples!).length > 0)
      }
    }
  }
  t.same([...ids].sort(), [
    'continueResumableUpload', 'createResumableUpload', 'deleteUpload', 'endResumableUpload', 'getHealth', 'getMetrics', 'getReadiness', 'getUpload', 'getUploadContent',
    'headUploadContent', 'readResumableUpload', 'uploadFile', 'uploadRawFile',
  ], 'stable: clients are named after them')
})

t.test('a host\'s own document has the routes, under the prefix, beside the host\'s, whose schemas may have the same names', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi: { info: { title: 'host', version: '1' } } })
  app.addSchema({ $id: 'Receipt', type: 'object', properties: { till: { type: 'string' } } })
  app.addSchema({ $id: 'Track', type: 'string' })
  app.get('/receipt', { schema: { response: { 200: { $ref: 'Receipt#' } } } }, async () => ({ till: 'one' }))
  await app.register(b2Uploads, { prefix: '/media', local: { dir: t.testdir() } })
  await app.register(b2Uploads, { prefix: '/avatars', decoratorName: 'avatars', local: { dir: t.testdir({}) } })
  await app.ready()
  const { paths, components } = app.swagger() as unknown as Document
  t.same(Object.keys(paths).sort(), [
    '/avatars/resumable', '/avatars/resumable/{name}', '/avatars/uploads', '/avatars/uploads/{name}', '/avatars/uploads/{name}/content',
    '/media/resumable', '/media/resumable/{name}', '/media/uploads', '/media/uploads/{name}', '/media/uploads/{name}/content', '/receipt',
  ])
  t.same((await app.inject('/receipt')).json(), { till: 'one' })
  const missing = [...JSON.stringify(paths).matchAll(/#\/components\/schemas\/([\w-]+)/g)].filter(([, name]) => components.schemas[name!] === undefined)
  t.same(missing, [], 'every reference leads somewhere')
})
