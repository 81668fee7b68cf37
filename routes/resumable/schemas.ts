import { Type } from '@sinclair/typebox'
import { emptyAnswer, errorAnswers } from '../http/answer-schemas.ts'
import { EXTENSIONS, PIECE, TUS_VERSION } from './protocol.ts'

const USUALLY = 'tus 1.0.0 (https://tus.io/protocols/resumable-upload), for which there are ready-made clients: tus-js-client, Uppy, TUSKit, tus-android-client. ' +
  'They are the usual way, and a generated client can call these operations, too.'

const Params = Type.Object({ name: Type.String({ description: 'The last segment of the upload\'s URL, which the later file has as its name, too.' }) })

const version = Type.String({ description: `The version of tus, \`${TUS_VERSION}\`.` })
const text = (description: string) => Type.Optional(Type.String({ description }))
const number = (description: string) => Type.Optional(Type.Integer({ minimum: 0, description }))
const piece = Type.Optional(Type.String({ format: 'binary', description: 'Bytes of the file.' }))

const offset = { 'upload-offset': { type: 'integer', description: 'Bytes that are safe in a store: where to go on.' } }
const expires = { 'upload-expires': { type: 'string', description: 'When the upload is removed if nothing more comes.' } }
const stored = { 'content-location': { type: 'string', description: 'The path of the receipt, if the file is complete.' } }

const common = { tags: ['resumable'] }
const errors = { 400: ['invalid_request'], 401: true, 403: true, 412: true, 500: true, 503: ['storage_unavailable', 'overloaded', 'shutting_down'] } as const
const named = { 404: true, 410: ['not_found'], 423: ['upload_in_progress'] } as const
const taken = { 408: true, 413: true, 415: true, 503: true } as const

export const createSchema = {
  ...common,
  operationId: 'createResumableUpload',
  summary: 'Begin an upload that can be continued',
  description: `Makes an upload, of which \`Location\` is the URL, and takes its first bytes or all of them if the body has content type \`${PIECE}\`. ` +
    `This is ${USUALLY} Extensions: ${EXTENSIONS.join(', ')}.`,
  consumes: [PIECE],
  headers: Type.Object({
    'tus-resumable': version,
    'idempotency-key': text('1 to 255 printable ASCII characters, such as a UUID, with or without quotes: the same key from the same caller is the same upload. If it ' +
      'exists, or its file is stored, the answer is where it stands, and the body is not read.'),
    'upload-length': number('Bytes of the file. Either this or `Upload-Defer-Length`.'),
    'upload-defer-length': text('`1` if the length is told later.'),
    'upload-metadata': text('Pairs of a name and a value in base64, separated by commas. `filename` (or `name`) and `filetype` (or `type`) say what the file is; ' +
      'the others are text fields that are kept with it.'),
  }),
  body: piece,
  response: {
    201: emptyAnswer('The upload exists, or, with `Content-Location`, the file is stored already.', {
      location: { type: 'string', description: 'The path of the upload.' },
      ...offset,
      ...expires,
      ...stored,
      'idempotency-replayed': { type: 'string', description: '`true` if the upload had been created before, with the same `Idempotency-Key`.' },
    }),
    ...errorAnswers({ ...errors, ...taken, 409: ['upload_in_progress'], 422: true, 423: ['upload_in_progress'], 429: true, 501: ['invalid_request'] }),
  },
}

export const readSchema = {
  ...common,
  operationId: 'readResumableUpload',
  summary: 'Say where an upload stands',
  description: 'The offset to go on from. That of a complete upload is its length, as long as the file exists.',
  params: Params,
  headers: Type.Object({ 'tus-resumable': version }),
  response: {
    200: emptyAnswer('Where it stands.', {
      ...offset,
      'upload-length': { type: 'integer', description: 'Bytes of the file, if that has been told.' },
      'upload-defer-length': { type: 'string', description: '`1` if the length has not been told.' },
      'upload-metadata': { type: 'string', description: 'As it was given.' },
      ...expires,
      ...stored,
    }),
    ...errorAnswers({ ...errors, ...named }),
  },
}

export const continueSchema = {
  ...common,
  operationId: 'continueResumableUpload',
  summary: 'Add bytes to an upload',
  description: 'Takes bytes from the upload\'s offset on. They are safe in a store when the answer comes; if the connection breaks, what came is kept. ' +
    'The request that brings the last byte is answered when the file is stored.',
  params: Params,
  consumes: [PIECE],
  headers: Type.Object({
    'tus-resumable': version,
    'upload-offset': Type.Integer({ minimum: 0, description: 'Where the bytes begin, which has to be where the upload stands.' }),
    'upload-length': number('Bytes of the file, if that was not told before.'),
  }),
  body: piece,
  response: {
    204: emptyAnswer('The bytes are safe, and with `Content-Location` the file is stored.', { ...offset, ...expires, ...stored }),
    ...errorAnswers({ ...errors, ...named, ...taken, 409: ['invalid_request'] }),
  },
}

export const endSchema = {
  ...common,
  operationId: 'endResumableUpload',
  summary: 'Remove an unfinished upload',
  description: 'Nothing is left of it. A complete one is not removed: delete its file.',
  params: Params,
  headers: Type.Object({ 'tus-resumable': version }),
  response: { 204: emptyAnswer('It is gone.'), ...errorAnswers({ ...errors, ...named }) },
}
