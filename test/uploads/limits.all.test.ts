import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { startService } from '../support/service/service.ts'
import { keepLimit, SIZES } from '../support/uploads/limits.ts'

const MIB = 1_048_576
const run = promisify(execFile)
const curl = await run('curl', ['--version']).then(() => true, () => false)

t.test('curl gets the answer to a file that is refused', { skip: curl ? false : 'there is no curl' }, async t => {
  const service = await startService(t, { UPLOAD_MAX_BYTES: '1000' })
  const audioOnly = await startService(t, { UPLOAD_ALLOWED_TYPES: 'audio/*' })
  const file = join(t.testdir(), 'large')
  await writeFile(file, Buffer.alloc(20 * MIB))
  for (const [code, ...args] of [
    ['file_too_large', '-T', file, `${service.url}/uploads/a`],
    ['file_too_large', '-T', file, '-H', 'Expect:', `${service.url}/uploads/a`],
    ['unsupported_media_type', '-T', file, '-H', 'Transfer-Encoding: chunked', `${audioOnly.url}/uploads/a`],
    ['file_too_large', '-F', `file=@${file}`, '-H', 'Expect:', `${service.url}/uploads`],
  ] as [string, ...string[]][]) {
    const { stdout } = await run('curl', ['-sS', '--max-time', '30', ...args])
    t.equal(JSON.parse(stdout).error_code, code, args.join(' '))
  }
})

keepLimit('B2', SIZES)
keepLimit('local-only', SIZES)
