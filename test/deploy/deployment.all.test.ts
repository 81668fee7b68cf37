import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'
import { ConfigSchema } from '../../services/config/schema.ts'
import { environmentOf, instructions, lastOf } from '../support/deploy/dockerfile.ts'
import { codeIn, linksOf, quoted, readDocument, rowsOf, sectionsOf } from '../support/docs/markdown.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGE = 'docs/deployment.md'
const page = readDocument(PAGE)
const [build, run] = codeIn(page, 'text')

t.test('the variables, files and sections that the page names exist', async t => {
  for (const name of new Set(page.match(/\b(?:[A-Z][A-Z0-9]*_)+[A-Z0-9]+\b/g))) t.ok(name in ConfigSchema.properties || name === 'NODE_IMAGE', name)
  for (const { path, anchor } of linksOf(page)) {
    const file = path === '' ? PAGE : join(dirname(PAGE), path)
    t.ok(existsSync(join(ROOT, file)), file)
    if (anchor !== undefined) t.ok(sectionsOf(readDocument(file)).some(section => section.anchor === anchor), `${file}#${anchor}`)
  }
  t.same(rowsOf(page, 'file', '').flatMap(([file]) => quoted(file!)).sort(), readdirSync(join(ROOT, 'deploy/kubernetes')).sort())
})

t.test('the container of the page is started as that of the compose file is', async t => {
  const { uploads } = parse(readDocument('compose.yaml')).services
  const { version } = JSON.parse(readDocument('package.json'))
  t.match(build, `docker build --tag fastify-b2-uploads:${version} .`)
  for (const option of [
    ...uploads.ports.map((port: string) => `--publish ${port}`), `--volume uploads:${lastOf('service', 'VOLUME')}`, `--memory ${uploads.mem_limit}`,
    `--stop-timeout ${Number.parseInt(uploads.stop_grace_period)}`, '--cap-drop ALL', '--security-opt no-new-privileges',
  ]) t.ok(run!.includes(` ${option} `), option)
  t.equal(run!.includes(' --read-only '), uploads.read_only)
  t.match(run, new RegExp(`^  fastify-b2-uploads:${version}$`, 'm'))
})

t.test('the page says of the image what the Dockerfile says', async t => {
  for (const [name, value] of Object.entries(environmentOf('service'))) {
    t.ok(page.includes(`\`${name}=${value}\``), name)
  }
  const [, base] = /=(\S+)/.exec(instructions[0]!.rest)!
  for (const [image] of page.matchAll(/\bnode:[\w.-]+/g)) t.equal(image, base)
  t.ok(page.includes(`The user** is ${lastOf('service', 'USER')}`))
})

t.test('the annotations of an Ingress are what the nginx configuration says', async t => {
  const conf = readDocument('deploy/nginx.conf')
  const seconds = (text: string): string => String(Number(/\d+/.exec(text)![0]) * (text.endsWith('m') ? 60 : 1))
  const said = (directive: string): string => new RegExp(`^\\s*${directive} (.+);$`, 'm').exec(conf)![1]!
  t.same(parse(codeIn(page, 'yaml')[0]!), {
    'nginx.ingress.kubernetes.io/proxy-request-buffering': said('proxy_request_buffering'),
    'nginx.ingress.kubernetes.io/proxy-body-size': said('client_max_body_size'),
    'nginx.ingress.kubernetes.io/proxy-read-timeout': seconds(said('proxy_read_timeout')),
    'nginx.ingress.kubernetes.io/proxy-send-timeout': seconds(said('proxy_send_timeout')),
    'nginx.ingress.kubernetes.io/proxy-next-upstream': said('proxy_next_upstream'),
  })
})
