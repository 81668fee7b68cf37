import { DIFFERENCES } from '../contract/differences.ts'
import type { Difference } from '../contract/differences.ts'
import type { Target } from '../contract/target.ts'
import { SIZES } from './sizes.ts'

/**
 * The server that `S3_*` variables name; undefined without `S3_ENDPOINT`.
 * @throws {Error} for what is missing beside it, or is no known difference
 */
export function serverOfEnv (env: NodeJS.ProcessEnv, prefix: string): Target | undefined {
  const endpoint = env['S3_ENDPOINT']
  if (!endpoint) return undefined
  const region = env['S3_REGION'] || /^https:\/\/s3\.([^.]+)\.backblazeb2\.com/.exec(endpoint)?.[1]
  const bucket = env['S3_BUCKET']
  const accessKeyId = env['S3_ACCESS_KEY_ID'] || env['S3_ACCESS_KEY']
  const secretAccessKey = env['S3_SECRET_ACCESS_KEY'] || env['S3_SECRET_KEY']
  if (!region || !bucket || !accessKeyId || !secretAccessKey) {
    throw new Error('With S3_ENDPOINT these are needed, too: S3_REGION (but for B2), S3_BUCKET, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY.')
  }
  const named = (env['S3_DIFFERS'] ?? '').split(',').map(name => name.trim()).filter(name => name !== '')
  const unknown = named.filter(name => !DIFFERENCES.includes(name as Difference))
  if (unknown.length > 0) throw new Error(`S3_DIFFERS has ${unknown.join(', ')}; known are ${DIFFERENCES.join(', ')}.`)
  return { name: new URL(endpoint).host, endpoint, region, bucket, credentials: { accessKeyId, secretAccessKey }, prefix, sizes: SIZES, differs: new Set(named as Difference[]) }
}
