import { Sha256 } from '@smithy/core/checksum'
import { SignatureV4 } from '@smithy/signature-v4'
import t from 'tap'
import { Signer } from '../../../../services/b2/http/signature.ts'
import { sha256 } from '../../../support/service/service.ts'

t.test('a signature is that of the published example', async t => {
  // "Example: PUT object" of https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
  const headers: Record<string, string> = {
    host: 'examplebucket.s3.amazonaws.com',
    date: 'Fri, 24 May 2013 00:00:00 GMT',
    'x-amz-storage-class': 'REDUCED_REDUNDANCY',
    'x-amz-content-sha256': sha256(Buffer.from('Welcome to Amazon S3.')),
  }
  new Signer({ applicationKeyId: 'AKIAIOSFODNN7EXAMPLE', applicationKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', region: 'us-east-1' })
    .sign({ method: 'PUT', path: '/test%24file.text', headers }, new Date('2013-05-24T00:00:00.999Z'))
  t.equal(headers['authorization'], 'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, ' +
    'SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd')
  t.equal(headers['x-amz-date'], '20130524T000000Z')
})

t.test('signatures are those of the SDK, whatever is signed, and on each day', async t => {
  for (const region of ['us-west-004', 'eu-central-003', '']) {
    const credentials = { accessKeyId: '004a', secretAccessKey: 'K004+/sëcret' }
    const own = new Signer({ applicationKeyId: credentials.accessKeyId, applicationKey: credentials.secretAccessKey, region })
    const theirs = new SignatureV4({ credentials, region, service: 's3', sha256: Sha256, uriEscapePath: false })
    for (const day of ['2026-02-28T23:59:59Z', '2026-03-01T00:00:00Z', '2026-03-01T00:00:01Z']) {
      for (const path of ['/bucket/a.mp3', '/b%20c/%C3%A4//%27%28.mp3', '/base/bucket/.x/..']) {
        const given = {
          host: '127.0.0.1:9000',
          'user-agent': 'not signed',
          'content-length': '3',
          'content-type': '  audio/mpeg;   a="b  c" ',
          'x-amz-content-sha256': sha256(Buffer.from('abc')),
          'x-amz-meta-b': '',
          'x-amz-meta-a': 'S%C3%B6ng',
        }
        const headers: Record<string, string> = { ...given }
        own.sign({ method: 'PUT', path, headers }, new Date(day))
        const request = { method: 'PUT', protocol: 'http:', hostname: '127.0.0.1', port: 9_000, path, query: {}, headers: { ...given } }
        t.same(headers, (await theirs.sign(request, { signingDate: new Date(day) })).headers)
      }
    }
  }
})
