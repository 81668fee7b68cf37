import t from 'tap'
import { assertDigestFields, assertDigests, reprDigest } from '../../../routes/body/digest-fields.ts'
import { bytes, sha256 } from '../../support/run/bytes.ts'

const OWN = sha256(Buffer.from('the file'))
const OTHER = sha256(Buffer.from('another one'))
const RIGHT = reprDigest(OWN)
const WRONG = reprDigest(OTHER)
const SHA512 = `sha-512=:${bytes(64).toString('base64')}:`

t.test('a sha256 is written as the field has it', async t => {
  t.equal(reprDigest(sha256(Buffer.from('hello world'))), 'sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:')
})

t.test('each sha256 has to be that of the file, in either field, in headers and in trailers', async t => {
  const right = [{}, { 'repr-digest': RIGHT }, { 'content-digest': RIGHT }, { 'repr-digest': RIGHT, 'content-digest': RIGHT }]
  for (const headers of right) for (const trailers of right) assertDigests(OWN, headers, trailers)
  for (const [field, name] of [['repr-digest', 'Repr-Digest'], ['content-digest', 'Content-Digest']] as const) {
    const wrong = { 'repr-digest': RIGHT, 'content-digest': RIGHT, [field]: WRONG }
    const mismatch = { name: 'UploadError', error_code: 'digest_mismatch', message: `${name} is ${WRONG}, but the file that came has ${RIGHT}.` }
    t.throws(() => assertDigests(OWN, wrong, { 'repr-digest': RIGHT, 'content-digest': RIGHT }), mismatch)
    t.throws(() => assertDigests(OWN, { 'repr-digest': RIGHT, 'content-digest': RIGHT }, wrong), mismatch)
    t.throws(() => assertDigests(OWN, {}, wrong), mismatch)
  }
})

t.test('what says nothing of the sha256 is ignored', async t => {
  const ignored = ['', SHA512, 'md5=:AA==:', 'sha-512', 'unixsum=30637, x=(1 2);y', 'sha=abc', 'sha-2560=:AA==:']
  for (const value of ignored) assertDigests(OWN, { 'repr-digest': value, 'content-digest': value })
  t.throws(() => assertDigests(OWN, { 'repr-digest': `${SHA512}, ${WRONG}` }), { name: 'UploadError', error_code: 'digest_mismatch' }, 'beside another algorithm it counts')
  assertDigests(OWN, { digest: 'SHA-256=AAAA', 'want-repr-digest': 'sha-256=1' })
})

t.test('a dictionary may be written in several ways', async () => {
  const written = [
    `  ${RIGHT} `, `${SHA512} \t,\t ${RIGHT}`, `${RIGHT};x=1;y`, `${WRONG}, ${RIGHT}`, // the last of one name counts (RFC 9651 §4.2.2)
    RIGHT.replace('=:', ':').replace('sha-256:', 'sha-256=:'), // without padding (RFC 9651 §4.2.7)
  ]
  for (const value of written) assertDigests(OWN, { 'repr-digest': value })
  assertDigests(OWN, { 'repr-digest': [SHA512, RIGHT] })
})

t.test('what can\'t be read is refused, with words that help', async t => {
  const base64 = Buffer.from(OWN, 'hex').toString('base64')
  const notBytes = 'The sha-256 in Content-Digest is not a byte sequence of 32 bytes.'
  const notFields = /^Content-Digest is not a dictionary of structured fields\. Parse error: .+ at offset \d+\.$/
  const bad: [value: string, detail: string | RegExp][] = [
    ['sha-256', notBytes],
    ['sha-256=abc', notBytes],
    ['sha-256="abc"', notBytes],
    ['sha-256=1', notBytes],
    ['sha-256=::', notBytes],
    [`sha-256=(:${base64}:)`, notBytes],
    [`sha-256=:${OWN}:`, notBytes],
    [`sha-256=:${bytes(31).toString('base64')}:`, notBytes],
    [`sha-256=:${bytes(33).toString('base64')}:`, notBytes],
    [SHA512.replace('512', '256'), notBytes],
    [`${RIGHT}, sha-256=?1`, notBytes],
    [`SHA-256=:${base64}:`, notFields],
    [`sha-256=:${base64}`, notFields],
    [`sha-256=:${base64.slice(0, -2)}=:`.replace('=:', '=!:'), notFields],
    ['sha-256=:A:', notFields],
    ['sha-256=:AA_-:', notFields],
    [`${RIGHT},`, notFields],
    [`${RIGHT} ${RIGHT}`, notFields],
    ['sha-256=', notFields],
    [`sha-256=@${'9'.repeat(20)}`, notFields],
    ['é', notFields],
    [';', notFields],
  ]
  for (const [value, message] of bad) {
    const refused = { name: 'UploadError', error_code: 'invalid_request', statusCode: 400, message, hints: [/Repr-Digest: sha-256=:/] }
    t.throws(() => assertDigestFields({ 'content-digest': value }), refused, value)
    t.throws(() => assertDigests(OWN, {}, { 'repr-digest': RIGHT, 'content-digest': value }), refused)
  }
  assertDigestFields({ 'repr-digest': WRONG, 'content-digest': SHA512 })
})
