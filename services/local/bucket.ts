import { join } from 'node:path'
import { errnoOf } from '../disk/errors.ts'
import type { FileSystem } from '../disk/file-system.ts'
import { PartFile } from '../disk/part-file.ts'
import { toLocalStoreError } from './errors.ts'
import { temporaryName } from './names.ts'

/** Says which bucket the files of a directory are promoted to. */
export const BUCKET_MARKER = '.bucket.json'

/** Where files are promoted to. */
export interface Destination {
  /** URL of the S3-compatible API. */
  endpoint: string
  bucket: string
}

/** The directory belongs to another bucket, or to an unknown one. The message says what to do. */
export class WrongBucketError extends Error {
  override readonly name = 'WrongBucketError'
}

/** Errors of file systems without hard links. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'EMLINK'])
const ABSENT = new Set(['ENOENT', 'ENOTDIR'])
/** Errors that concern the marker, not a failing disk. */
const UNREADABLE = new Set(['EACCES', 'EPERM', 'EISDIR'])

export interface BucketMarker {
  /**
   * Whether the directory is marked as that of this bucket. False: it is not marked.
   * @throws WrongBucketError; LocalStoreError if the disk fails
   */
  assertBucket (destination: Destination): Promise<boolean>
  /**
   * The same, and marks it if it is not marked. False: that is not possible yet, as there is no room or no such directory.
   * @throws WrongBucketError; LocalStoreError if the disk fails
   */
  claimForBucket (destination: Destination): Promise<boolean>
}

export function createBucketMarker ({ fs, root, dir }: { fs: FileSystem, /** Absolute path. */ root: string, /** As it was given. */ dir: string }): BucketMarker {
  const path = join(root, BUCKET_MARKER)

  async function assertBucket (own: Destination): Promise<boolean> {
    let text: string
    try {
      text = await fs.readFile(path, 'utf8')
    } catch (cause) {
      if (ABSENT.has(errnoOf(cause) ?? '')) return false
      const error = toLocalStoreError(cause, 'It could not be read')
      throw UNREADABLE.has(error.code ?? '') ? unreadable(own, error.message, cause) : error
    }
    const marked = parse(text)
    if (marked === undefined) throw unreadable(own, 'It is damaged')
    if (marked.bucket === own.bucket && originOf(marked.endpoint) === originOf(own.endpoint)) return true
    throw new WrongBucketError(`The local storage directory "${dir}" (LOCAL_STORAGE_DIR) belongs to ${name(marked)}; its files would be promoted to ` +
      `${name(own)}. Set B2_ENDPOINT and B2_BUCKET to those of the directory, or LOCAL_STORAGE_DIR to another one. If its files are to go to the new ` +
      `bucket, remove ${join(dir, BUCKET_MARKER)} and start again.`)
  }

  function unreadable (own: Destination, why: string, cause?: unknown): WrongBucketError {
    return new WrongBucketError(`The file ${join(dir, BUCKET_MARKER)} says which bucket the files of the local storage directory (LOCAL_STORAGE_DIR) are ` +
      `promoted to. ${why}. If that is ${name(own)}, remove it and start again.`, cause === undefined ? {} : { cause })
  }

  /** Never replaces the marker of another process: the first one stays. */
  async function write (own: Destination): Promise<void> {
    const part = join(root, temporaryName('note'))
    const file = await PartFile.create(fs, part)
    await file.publish({ endpoint: originOf(own.endpoint), bucket: own.bucket }, path, {
      async giveName () {
        try {
          await fs.link(part, path)
        } catch (error) {
          if (NO_LINKS.has(errnoOf(error) ?? '')) return await file.rename(path)
          if (errnoOf(error) !== 'EEXIST') throw error
        }
        await fs.unlink(part).catch(() => {}) // at worst the sweep removes it
      },
    })
  }

  async function claimForBucket (own: Destination): Promise<boolean> {
    if (await assertBucket(own)) return true
    try {
      await write(own)
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
      return false // a full disk, for example; writing files reports it
    }
    return await assertBucket(own) // another process may have been first
  }

  return { assertBucket, claimForBucket }
}

function parse (text: string): Destination | undefined {
  try {
    const { endpoint, bucket } = JSON.parse(text)
    if (typeof endpoint === 'string' && URL.canParse(endpoint) && typeof bucket === 'string' && bucket !== '') return { endpoint, bucket }
  } catch {}
  return undefined
}

/** An endpoint in one form: no slash or dot at its end, host in lower case, no default port, and no user name, which would be a secret. */
function originOf (endpoint: string): string {
  const { protocol, hostname, port, pathname } = new URL(endpoint)
  return `${protocol}//${hostname.replace(/\.$/, '')}${port === '' ? '' : `:${port}`}${pathname.replace(/\/+$/, '')}`
}

function name ({ endpoint, bucket }: Destination): string {
  return `the bucket "${bucket}" at ${originOf(endpoint)}`
}
