import t from 'tap'
import { DIFFERENCES } from '../contract/differences.ts'
import { serverOfEnv } from '../real/env-target.ts'
import { quoted, readDocument, rowsOf } from '../support/docs/markdown.ts'

const DOCUMENT = readDocument('docs/storage-servers.md')

t.test('the table of differences has those that the tests know, each with servers, a reason and what it means', async t => {
  const rows = rowsOf(DOCUMENT, 'difference', 'servers', 'reason', 'what it means for the service')
  t.same(rows.map(([name]) => quoted(name!)[0]), DIFFERENCES)
  for (const [name, ...cells] of rows) t.same(cells.map(cell => cell !== ''), [true, true, true], name!)
})

t.test('the documented variables name a server', async t => {
  const names = rowsOf(DOCUMENT, 'variable', 'meaning').flatMap(([name]) => quoted(name!))
  const env = { S3_ENDPOINT: 'https://s3.example.com', S3_REGION: 'here', S3_BUCKET: 'bucket', S3_ACCESS_KEY_ID: 'id', S3_SECRET_ACCESS_KEY: 'secret', S3_DIFFERS: 'keeps-no-versions, accepts-any-acl' }
  t.same(names.sort(), Object.keys(env).sort())
  t.match(serverOfEnv(env, 'contract/'), {
    name: 's3.example.com', endpoint: env.S3_ENDPOINT, region: 'here', bucket: 'bucket', prefix: 'contract/', credentials: { accessKeyId: 'id', secretAccessKey: 'secret' }, differs: new Set(['keeps-no-versions', 'accepts-any-acl']),
  })
  const { S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, ...rest } = env
  t.match(serverOfEnv({ ...rest, S3_ACCESS_KEY: 'id', S3_SECRET_KEY: 'secret' }, ''), { credentials: { accessKeyId: 'id', secretAccessKey: 'secret' } })
  t.match(serverOfEnv({ ...env, S3_ENDPOINT: 'https://s3.us-west-004.backblazeb2.com', S3_REGION: '' }, ''), { region: 'us-west-004' })
  t.equal(serverOfEnv({}, ''), undefined)
  for (const name of Object.keys(env).filter(name => name !== 'S3_ENDPOINT' && name !== 'S3_DIFFERS')) {
    t.throws(() => serverOfEnv({ ...env, [name]: '' }, ''), { message: new RegExp(name) }, `without ${name}`)
  }
  t.throws(() => serverOfEnv({ ...env, S3_DIFFERS: 'in-style' }, ''), { message: /in-style/ })
})
