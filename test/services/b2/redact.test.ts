import t from 'tap'
import { createRedactor, describeRedacted } from '../../../services/b2/redact.ts'

t.test('secrets go wherever they are, the longest first, as one may be part of another', async t => {
  const redact = createRedactor(['004abc', 'K004abcdef', ''])
  t.equal(redact('K004abcdef of 004abc, and K004abcdef again'), '*** of ***, and *** again')
  t.equal(redact('nothing of it'), 'nothing of it')
})

t.test('key ids that B2 quotes go, although nobody knows them here', async t => {
  const redact = createRedactor([])
  for (const [text, redacted] of [
    ["The key '004other' is not valid", "The key '***' is not valid"],
    ['no such Key ID: "004other"', 'no such Key ID: "***"'],
    ["key  id '004other'", "key  id '***'"],
    ['keyid:`004other`', 'keyid:`***`'],
    ['AWS4-HMAC-SHA256 Credential=004other/20260101/us-west-004, SignedHeaders=host', 'AWS4-HMAC-SHA256 Credential=***/20260101/us-west-004, SignedHeaders=host'],
    ["the bucket 'music' is full", "the bucket 'music' is full"],
  ] as const) t.equal(redact(text), redacted)
})

t.test('B2\'s words are cut to 500 characters, after that', async t => {
  const { raw } = describeRedacted(new Error(`${'x'.repeat(480)} K004abcdef ${'y'.repeat(100)}`), createRedactor(['K004abcdef']))
  t.equal(raw.length, 500)
  t.notMatch(raw, 'K004')
  t.match(raw, '***')
})
