import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { root, service } from './prepare.mjs'

/**
 * The servers that are measured. `args` are Node's; `form` is where forms are posted to, `raw` where bodies are put,
 * `tus` says where resumable uploads are
 * made (`path`) and what the `keys` of their objects begin with; `env` gets `{ endpoint, directory }`. One with `hasCircuit` takes B2 for lost only after some failures.
 */
export const CONTESTANTS = {
  service: { title: 'service, POST form', args: [service], cwd: root, form: '/uploads', env: serviceEnv, hasCircuit: true },
  put: { title: 'service, PUT raw', args: [service], cwd: root, raw: '/uploads/', env: serviceEnv, hasCircuit: true },
  peer: {
    title: 'express + multer-s3',
    args: [besides('programs/peer.mjs')],
    form: '/upload',
    // Without this the SDK sends checksum headers that B2 refuses.
    env: ({ endpoint }) => ({ ...bucket(endpoint), AWS_REQUEST_CHECKSUM_CALCULATION: 'when_required', NODE_ENV: 'production' }),
  },
  resumable: { title: 'service, tus', args: [service], cwd: root, tus: { path: '/resumable', keys: 'tracks/' }, env: serviceEnv, hasCircuit: true },
  'tus-peer': {
    title: '@tus/server + @tus/s3-store',
    args: [besides('programs/tus-peer.mjs')],
    tus: { path: '/files', keys: '' },
    env: ({ endpoint }) => ({ ...bucket(endpoint), AWS_REQUEST_CHECKSUM_CALCULATION: 'when_required', NODE_ENV: 'production' }),
  },
  disk: {
    title: 'busboy to disk, no fsync',
    args: [besides('programs/disk-peer.mjs')],
    form: '/upload',
    env: ({ directory }) => ({ DIRECTORY: directory, NODE_ENV: 'production' }),
  },
  'disk-fsync': {
    title: 'busboy to disk, fsync',
    args: [besides('programs/disk-peer.mjs')],
    form: '/upload',
    env: ({ directory }) => ({ DIRECTORY: directory, FLUSH: '1', NODE_ENV: 'production' }),
  },
}

/** As shipped: nothing is set but what has no default that could be used here. */
function serviceEnv ({ endpoint, directory }) {
  return { ...bucket(endpoint), NODE_ENV: 'production', PORT: '0', LOCAL_STORAGE_DIR: directory }
}

function bucket (endpoint) {
  return {
    B2_ENDPOINT: endpoint,
    B2_REGION: 'us-west-004',
    B2_BUCKET: 'bench',
    B2_APPLICATION_KEY_ID: 'bench-key-id',
    B2_APPLICATION_KEY: 'bench-key',
  }
}

function besides (name) {
  return path.normalize(fileURLToPath(new URL(name, import.meta.url)))
}
