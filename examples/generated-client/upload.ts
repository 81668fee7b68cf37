// Uploads a file through a client made of the generated types, says where it is, and reads it back:
//
//   npx tsx examples/generated-client/upload.ts song.mp3 [http://127.0.0.1:3000] [API key]
import { openAsBlob } from 'node:fs'
import { basename } from 'node:path'
import createClient from 'openapi-fetch'
import type { components, paths } from './schema.d.ts'

const [path, baseUrl = 'http://127.0.0.1:3000', apiKey] = process.argv.slice(2)
if (path === undefined) throw new Error('Which file?')

const client = createClient<paths>({ baseUrl, headers: apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` } })
const file = new File([await openAsBlob(path)], basename(path))

const { data: stored, error } = await client.POST('/uploads', {
  body: { file, uploaded_with: 'a generated client' },
  bodySerializer (fields) {
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.append(name, value as string | Blob)
    return form
  },
})
if (error !== undefined) {
  console.error(`${error.error_code}: ${error.error} ${error.detail}`, ...error.hints)
  process.exit(1)
}
console.log(whereabouts(stored))

const name = stored.track.key.split('/').at(-1)!
const { data: receipt } = await client.GET('/uploads/{name}', { params: { path: { name } } })
console.log(`${receipt?.track.size_bytes} bytes, sha256 ${receipt?.track.sha256}`)

const { data: content, error: unreadable } = await client.GET('/uploads/{name}/content', { params: { path: { name } }, parseAs: 'blob' })
console.log(content === undefined ? `not yet: ${unreadable?.detail}` : `read ${content.size} bytes`)

/** The compiler knows which fields there are in each case. */
function whereabouts (receipt: components['schemas']['Receipt']): string {
  if (receipt.storage === 'b2') return `in B2: ${receipt.location}`
  if (receipt.storage === 'split') return `${receipt.split.b2_bytes} bytes in B2, ${receipt.split.local_bytes} in local storage (${receipt.fallback_reason.error_code})`
  return `in local storage: ${receipt.location} (${receipt.fallback_reason?.error_code ?? 'the service has no B2'})`
}
