import t from 'tap'
import { logNotStored, logStored } from '../../../services/intake/closing-lines.ts'
import type { Log } from '../../../services/log.ts'
import type { Observer } from '../../../services/observer.ts'
import type { Receipt, Track } from '../../../services/receipt.ts'
import { ClientGoneError, UploadError } from '../../../services/upload-errors.ts'

/** What was said: lines as level, fields and words, and what the observer was told. */
function book () {
  const lines: [level: string, fields: object, words: string][] = []
  const told: unknown[] = []
  const line = (level: string) => (fields: object, words: string): void => { lines.push([level, fields, words]) }
  const log: Log = { info: line('info'), warn: line('warn'), error: line('error') }
  const observer: Observer = {
    stored: (receipt, seconds) => { told.push(['stored', receipt, seconds]) },
    failed: error_code => { told.push(['failed', error_code]) },
    aborted: () => { told.push(['aborted']) },
    replayed: () => { told.push(['replayed']) },
    b2Failed: error_code => { told.push(['b2Failed', error_code]) },
    refused: error_code => { told.push(['refused', error_code]) },
    partsGone: () => { told.push(['partsGone']) },
    downloaded: (storage, result) => { told.push(['downloaded', storage, result]) },
    deleted: result => { told.push(['deleted', result]) },
    promotionEnded: result => { told.push(['promotionEnded', result]) },
  }
  return { lines, told, log, observer }
}

const track = { size_bytes: 3, key: 'tracks/a' } as Track
const reason = { error_code: 'timeout', detail: 'It took too long.' } as const
const fields = { event: 'upload.stored', duration_ms: 1_235, size_bytes: 3 }

const RECEIPTS: [receipt: Receipt, level: string, fields: object][] = [
  [{ storage: 'b2', location: 'tracks/a', track }, 'info', { ...fields, storage: 'b2', location: 'tracks/a', fallback_from_b2: false }],
  [{ storage: 'local', location: '/files/tracks/a', track }, 'info', { ...fields, storage: 'local', location: '/files/tracks/a', fallback_from_b2: false }],
  [{ storage: 'local', location: '/files/tracks/a', fallback_from_b2: true, fallback_reason: reason, track }, 'warn',
    { ...fields, storage: 'local', location: '/files/tracks/a', fallback_from_b2: true, fallback_reason: reason }],
]

for (const [receipt, level, fields] of RECEIPTS) {
  t.test(`a file that is stored is one line and is counted: ${level} for ${receipt.storage}`, async t => {
    const { lines, told, log, observer } = book()
    logStored(log, observer, receipt, 1_234.5)
    t.same(lines.map(([level, fields]) => [level, fields]), [[level, fields]])
    t.ok(lines[0]![2])
    t.same(told, [['stored', receipt, 1.2345]])
  })
}

const cause = new Error('what was behind it')

const ERRORS: [name: string, error: UploadError | ClientGoneError, level: string, fields: object, told: unknown[]][] = [
  ['a client that went away', new ClientGoneError('gone', { cause }), 'info', { event: 'upload.aborted' }, ['aborted']],
  ['a refusal', new UploadError('missing_file', 'There is none.'), 'warn', { error_code: 'missing_file', detail: 'There is none.' }, ['failed', 'missing_file']],
  ['a refusal and why', new UploadError('missing_file', 'There is none.', { cause }), 'warn', { error_code: 'missing_file', detail: 'There is none.', reason: cause.message }, ['failed', 'missing_file']],
  ['a refusal for what is no error', new UploadError('missing_file', 'There is none.', { cause: 'words' }), 'warn', { error_code: 'missing_file', detail: 'There is none.' }, ['failed', 'missing_file']],
  ['a failure', new UploadError('storage_unavailable', 'None works.'), 'error', { error_code: 'storage_unavailable', detail: 'None works.' }, ['failed', 'storage_unavailable']],
  ['a failure and why', new UploadError('storage_unavailable', 'None works.', { cause }), 'error', { error_code: 'storage_unavailable', detail: 'None works.', err: cause }, ['failed', 'storage_unavailable']],
]

for (const [name, error, level, fields, counted] of ERRORS) {
  t.test(`an upload that is not stored is one line and is counted: ${name}`, async t => {
    const { lines, told, log, observer } = book()
    logNotStored(log, observer, error, 1_234.5, 7)
    t.strictSame(lines.map(([level, fields]) => [level, fields]), [[level, { event: 'upload.failed', duration_ms: 1_235, size_bytes: 7, ...fields }]])
    t.ok(lines[0]![2])
    t.same(told, [counted])
  })
}

t.test('without an observer there is the line alone', async t => {
  const { lines, log } = book()
  logStored(log, undefined, RECEIPTS[0]![0], 1)
  for (const [, error] of ERRORS) logNotStored(log, undefined, error, 1, 0)
  t.equal(lines.length, 1 + ERRORS.length)
})
