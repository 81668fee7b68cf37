// Writes the types of the API to schema.d.ts, from a service's document or from openapi.json:
//
//   node examples/generated-client/generate.mjs http://127.0.0.1:3000/documentation/json [schema.d.ts]
import { writeFile } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import openapiTS, { astToString } from 'openapi-typescript'
import ts from 'typescript'

const [source = '../../openapi.json', target = new URL('schema.d.ts', import.meta.url)] = process.argv.slice(2)
const document = /^https?:/.test(source) ? new URL(source) : source === '../../openapi.json' ? new URL(source, import.meta.url) : pathToFileURL(source)

const BLOB = ts.factory.createTypeReferenceNode('Blob')
const types = await openapiTS(document, {
  // Files are blobs, which is what fetch takes and gives; the default is a string.
  transform: schema => schema.format === 'binary' ? BLOB : undefined,
})
await writeFile(target, astToString(types))
