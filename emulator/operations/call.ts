import type { MultipartUploads } from '../multipart.ts'
import type { DistinctHeaders } from '../http/signature.ts'
import type { Content, ObjectStore } from '../store.ts'
import type { Target } from '../http/target.ts'

/** The bucket an operation works on. */
export interface Bucket {
  name: string
  region: string
  createdAt: Date
  objects: ObjectStore
  uploads: MultipartUploads
}

/** A request that passed every check, with its whole body. */
export interface Call {
  target: Target
  headers: DistinctHeaders
  body: Content
}
