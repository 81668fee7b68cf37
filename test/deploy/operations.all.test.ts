import { execFile, spawnSync } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { codeIn, readDocument } from '../support/docs/markdown.ts'
import { CALM } from '../support/promotion/promotion.ts'
import { b2Env, bytes, put, startB2, startService } from '../support/service/service.ts'

const PAGE = 'docs/operations.md'
const page = readDocument(PAGE)
const run = promisify(execFile)
const HAS_JQ = spawnSync('jq', ['--version']).status === 0

t.test('the questions to the log work as they stand', { skip: HAS_JQ ? false : 'no jq here' }, async t => {
  const b2 = await startB2(t)
  const service = await startService(t, { ...b2Env(b2), ...CALM })
  b2.fault({ status: 503, times: Infinity })
  const { body } = await put(service, bytes(100), 'file.bin', { 'x-correlation-id': 'qa-1' })
  await rm(service.dir, { recursive: true })
  await writeFile(service.dir, 'in the way')
  t.equal((await put(service, bytes(100), 'file.bin', { 'x-correlation-id': 'qa-2' })).status, 503)

  const cwd = t.testdir()
  await writeFile(join(cwd, 'service.log'), ['> npm says something', ...service.log.lines.map(line => JSON.stringify(line))].join('\n'))
  const answers: string[] = []
  for (const code of codeIn(page, 'sh')) answers.push((await run('bash', ['-euo', 'pipefail', '-c', code], { cwd })).stdout)
  const [ofUpload, reasons, words, failures, lost] = answers
  t.same(ofUpload!.trim().split('\n').map(line => JSON.parse(line).event), ['b2.failed', 'upload.stored'])
  t.match(reasons, /^ *1 service_unavailable\n$/)
  t.match(words, /^\["\d{4}-\d\d-\d\dT[\d:]+Z","service_unavailable","ServiceUnavailable .*"\]\n/)
  t.match(JSON.parse(failures!), { correlation_id: 'qa-2', error_code: 'storage_unavailable' })
  t.equal(lost, `${body.track.key.split('/').at(-1)}\n`)
})
