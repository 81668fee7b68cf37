import t from 'tap'
import { PART, setB2Stage } from '../../../support/b2/stage.ts'
import { bytes, sha256 } from '../../../support/service/service.ts'
import { acceptedTls } from '../../../support/clients/tls.ts'

t.test('over https parts are signed where their upload asks for it, or all do', async t => {
  const parts = [bytes(PART), bytes(10)]
  const signed = parts.map(sha256)
  const unsigned = ['UNSIGNED-PAYLOAD', 'UNSIGNED-PAYLOAD']
  for (const [all, one, expected] of [[false, false, unsigned], [false, true, signed], [true, false, signed]] as const) {
    const { b2, store } = await setB2Stage(t, { signParts: all }, { tls: acceptedTls(t) })
    const upload = store.begin({ key: 'k', contentType: 'audio/mpeg' }, { onPartStored () {}, mayFallBack: () => true, signParts: one })
    await upload.push(parts[0]!)
    await upload.push(parts[1]!, true)
    t.match(await upload.result, { ok: true })
    t.equal(b2.objects()[0]?.sha256, sha256(Buffer.concat(parts)))
    const sent = b2.requests.filter(({ operation }) => operation === 'UploadPart').sort((a, b) => a.partNumber! - b.partNumber!)
    t.same(sent.map(({ headers }) => headers['x-amz-content-sha256']), expected)
  }
})
