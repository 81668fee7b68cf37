import type { S3Error } from './errors.ts'
import { errorXml, resultXml } from './xml.ts'
import type { XmlElement } from './xml.ts'

/** An answer ready to be sent. */
export interface Answer {
  status: number
  /** Without Content-Length, which is `size`. */
  headers: Record<string, string>
  body: readonly Buffer[]
  /** Length of the body, announced even if none is sent (HEAD). */
  size: number
}

export function textAnswer (status: number, text: string, headers: Record<string, string>): Answer {
  const body = Buffer.from(text)
  return { status, headers, body: [body], size: body.length }
}

export function emptyAnswer (status: number, headers: Record<string, string> = {}): Answer {
  return { status, headers, body: [], size: 0 }
}

export function xmlAnswer (root: string, content: string | readonly XmlElement[], headers: Record<string, string> = {}): Answer {
  return textAnswer(200, resultXml(root, content), { 'content-type': 'application/xml', ...headers })
}

export function errorAnswer (error: Pick<S3Error, 'status' | 'code' | 'message' | 'headers'>): Answer {
  return textAnswer(error.status, errorXml(error.code, error.message), { 'content-type': 'application/xml', ...error.headers })
}
