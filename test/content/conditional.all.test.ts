import t from 'tap'
import { CASES, EMPTY_CASES, SIZE, headersFor } from '../support/clients/conditional-cases.ts'
import { answersAll, EMPTY, METHODS, gist, gistOf, nameOf, validatorsOf } from '../support/clients/conditional-gist.ts'
import { contentPath, download } from '../support/clients/download.ts'
import { findNginx, startNginx } from '../support/deploy/nginx.ts'
import { bytes, put, startService } from '../support/service/service.ts'

const CONTENT = bytes(SIZE)
const nginx = findNginx()

t.test('nginx answers the same, but for what is known to differ, and for Range on HEAD', nginx === undefined ? { skip: 'there is no nginx on the PATH' } : {}, async t => {
  const server = await startNginx(t, nginx!, { file: CONTENT, empty: EMPTY }, new Date('2026-01-02T03:04:05Z'))
  for (const [name, content, cases] of [['/file', CONTENT, CASES], ['/empty', EMPTY, EMPTY_CASES]] as const) {
    const validators = await validatorsOf(server, name)
    for (const [headers, usual, [expected] = [usual]] of cases) {
      for (const method of METHODS) {
        const answer = await download(server, name, { method, headers: headersFor(headers, validators) })
        if (expected === 'multipart') t.match(answer, { status: 206, headers: { 'content-type': /^multipart\/byteranges/ } }, nameOf(method, headers))
        else t.same(gist(answer), gistOf(expected, content, method), nameOf(method, headers))
      }
    }
  }
})

t.test('ranges and conditions, from local storage', async t => {
  const service = await startService(t)
  for (const [content, cases] of [[CONTENT, CASES], [EMPTY, EMPTY_CASES]] as const) {
    const { body } = await put(service, content)
    t.equal(body.storage, 'local')
    await answersAll(t, service, contentPath(body.track.key), content, cases)
  }
})
