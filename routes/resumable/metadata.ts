import type { NewResumable } from '../../services/resumable/resumables.ts'
import { Fields, invalid } from '../form/fields.ts'
import { decodeText } from '../form/text.ts'

/** What clients call the file and its type: Uppy sends all of these, others one of each pair. */
const NAMES = ['filename', 'name']
const TYPES = ['filetype', 'type']

/**
 * What `Upload-Metadata` says of a file. Every pair but the names above is a text field, within the limits of a form's.
 * @param header well-formed: pairs of a name and base64, separated by commas
 * @throws {UploadError} `invalid_request`
 */
export function readMetadata (header: string | undefined): Pick<NewResumable, 'filename' | 'contentType' | 'fields' | 'metadata'> {
  const metadata = header === undefined ? {} : Object.fromEntries(header.split(',').map(readPair))
  const fields = new Fields()
  for (const [name, value] of Object.entries(metadata)) {
    if (!NAMES.includes(name) && !TYPES.includes(name)) fields.add(name, value ?? '')
  }
  const first = (names: string[]): string | undefined => names.map(name => metadata[name]).find(value => value != null)
  return { filename: first(NAMES), contentType: first(TYPES), fields: fields.toObject(), metadata }
}

/** @returns null in the place of a value that is missing or empty, as tus has it */
function readPair (pair: string): [name: string, value: string | null] {
  const [name, encoded] = pair.split(' ') as [string, string?]
  if (encoded === undefined || encoded === '') return [name, null]
  const value = decodeText(Buffer.from(encoded, 'base64'), 'utf-8')
  if (value === undefined) throw invalid(`The value of "${name}" in Upload-Metadata is not UTF-8.`)
  return [name, value]
}
