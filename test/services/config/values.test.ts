import t from 'tap'
import { ConfigSchema } from '../../../services/config/schema.ts'
import { readValue } from '../../../services/config/values.ts'

type Name = keyof typeof ConfigSchema.properties

const read = (name: Name, text: string): unknown => readValue(name, ConfigSchema.properties[name], text)

/** What is wrong with a value, as the end of "must be …". */
function faultOf (name: Name, text: string): string | undefined {
  try {
    read(name, text)
  } catch (error) {
    if ((error as Error).name === 'InvalidValue') return (error as Error).message
    throw error
  }
}

t.test('zeroes before a number make no other of it', async t => {
  for (const [text, value] of [['0', 0], ['00', 0], ['0100', 100], ['100', 100]] as const) t.equal(read('PROMOTE_INTERVAL_MS', text), value, text)
  for (const text of ['0x64', '0 100', '099']) t.match(faultOf('PROMOTE_INTERVAL_MS', text), /^must be 0 or a whole number from 100 to 2147483647 \(milliseconds/, text)
})

t.test('a bad value is echoed, up to sixty characters of it', async t => {
  t.match(faultOf('PORT', 'x'.repeat(60)), `not "${'x'.repeat(60)}"`)
  t.match(faultOf('PORT', 'x'.repeat(61)), `not "${'x'.repeat(60)}…"`)
  t.match(faultOf('TRUST_PROXY', 'loopback,localhost'), 'or loopback, linklocal, uniquelocal; "localhost" is none of these')
  t.match(faultOf('UPLOAD_ALLOWED_TYPES', 'audio/mpeg,audio'), '"audio" is not one')
  t.match(faultOf('CORS_ORIGIN', '*,example.com'), '"example.com" is not one')
})

t.test('proxies are named, each by a word, an address or a range of them', async t => {
  for (const entry of ['loopback', 'linklocal', 'uniquelocal', '10.0.0.1', '::1', '10.0.0.1/1', '10.0.0.1/32', '::1/1', '::1/128']) t.equal(read('TRUST_PROXY', entry), entry)
  for (const text of ['10.0.0.0/33', '::1/129', '10.0.0.0/0', '10.0.0.0/008.', '10.0.0.0/+8', '10.0.0.0/ 8', '10.0.0.0/0008', '10.0.0.0/8.0', '10.0.0.0/8e0', '10.0.0.0/8/8', '10.0.0.0/', 'localhost/8', 'loopback/8']) {
    t.match(faultOf('TRUST_PROXY', text), /^must be true, false, or comma-separated IP addresses/, text)
  }
  for (const text of ['1', '12']) t.match(faultOf('TRUST_PROXY', text), /name the proxies rather than count them/)
})

t.test('an endpoint is echoed only where it can hold no credentials', async t => {
  for (const text of ['localhost', 'localhost:9000', 's3.example.com', 'S3.example.com:443/']) t.match(faultOf('B2_ENDPOINT', text), `add https:// to make it https://${text}`)
  for (const [text, fault] of [
    ['s3.example.com/?key=secret', /an http:\/\/ or https:\/\/ URL/],
    ['s3.example.com:secret', /an http:\/\/ or https:\/\/ URL/],
    ['secret@s3.example.com', /an http:\/\/ or https:\/\/ URL/],
    ['xhttps://secret.example.com/', /an http:\/\/ or https:\/\/ URL/],
    ['https://secret@s3.example.com', /without credentials: they go to B2_APPLICATION_KEY_ID and B2_APPLICATION_KEY/],
    ['https://:secret@s3.example.com', /without credentials/],
    ['https://s3.example.com/secret', /without a path: the bucket goes to B2_BUCKET/],
    ['https://s3.example.com/?secret', /without a query or fragment/],
    ['https://s3.example.com/#', /without a query or fragment/],
  ] as const) {
    t.match(faultOf('B2_ENDPOINT', text), fault, text)
    t.notMatch(faultOf('B2_ENDPOINT', text), /secret/)
  }
})

t.test('media types and origins are what they are from beginning to end', async t => {
  for (const text of ['-audio/mpeg', '.a/b', 'audio/mpeg/x', 'audio/-x', 'an audio/mpeg', 'audio/**']) t.match(faultOf('UPLOAD_ALLOWED_TYPES', text), /comma-separated media types/, text)
  for (const text of ['1https://example.com', '-https://example.com', 'https://example.com//', 'https://', 'https://a b', '**']) t.match(faultOf('CORS_ORIGIN', text), /comma-separated origins/, text)
})
