import { textAnswer } from '../http/answer.ts'
import { usualError } from '../http/errors.ts'
import { errorXml } from '../http/xml.ts'
import type { Answer } from '../http/answer.ts'
import type { Fault } from './faults.ts'

/** The explicit answer of a fault with a status. */
export function scriptedAnswer (fault: Fault): Answer {
  const status = fault.status ?? 500
  const [code, message] = usualError(status)
  const document = status < 400 ? '' : errorXml(fault.code ?? code, fault.message ?? message)
  const added = Object.entries(fault.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value] as const)
  return textAnswer(status, fault.body ?? document, {
    'content-type': fault.contentType ?? 'application/xml',
    ...Object.fromEntries(added),
  })
}

/** Status 200 whose body says that it failed: S3 sends one when the failure comes after the answer began. */
export function errorInSuccess (fault: Fault): Answer {
  const [code, message] = usualError(500)
  return textAnswer(200, errorXml(fault.code ?? code, fault.message ?? message), { 'content-type': 'application/xml' })
}

/** The same answer without its ETag, be it a header or an element. */
export function withoutEtag (answer: Answer): Answer {
  const { etag, ...headers } = answer.headers
  if (headers['content-type'] !== 'application/xml') return { ...answer, headers }
  const text = Buffer.concat(answer.body).toString().replace(/^ *<ETag>[^<]*<\/ETag>\n/gm, '')
  return textAnswer(answer.status, text, headers)
}
