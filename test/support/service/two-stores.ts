import { B2ReadError } from '../../../services/b2/read-requests.ts'
import { LocalStoreError } from '../../../services/local/errors.ts'
import { createStoredFiles } from '../../../services/stored-files.ts'
import type { StoredFilesOptions } from '../../../services/stored-files.ts'
import { newReceipt, uuidV7 } from '../../fixtures/local-files.ts'

export type B2 = NonNullable<StoredFilesOptions['b2']>
export type Local = StoredFilesOptions['local']

export const NAME = `${uuidV7()}.mp3`
export const KEY = `tracks/${NAME}`
export const { track } = newReceipt(KEY)
export const HERE = { kind: 'file', receipt: newReceipt(KEY), setAside: undefined } as const

export const b2Down = new B2ReadError({ error_code: 'service_unavailable', detail: 'B2 answered 503', raw: 'SlowDown', weight: 'soft', retryable: true, status: 503 })
export const diskDown = new LocalStoreError('The disk is gone', { error_code: 'io_error' })
export const isError = (error_code: string, more: object = {}) => ({ name: 'UploadError', error_code, ...more })
export const isOut = (cause: object, more: object = {}) => isError('storage_unavailable', { cause, hints: [/Retry-After/], ...more })

export async function fail (error: Error): Promise<never> {
  throw error
}

/** Both stores without a file, but for what is said, and what they are asked in which order. */
export function setStores ({ b2, local, keyPrefix = 'tracks/' }: { b2?: Partial<B2> | false, local?: Partial<Local>, keyPrefix?: string } = {}) {
  const asked: unknown[][] = []
  const told = <Store extends object> (store: string, methods: Store): Store => new Proxy(methods, {
    get: (target, name: string) => (...values: unknown[]) => {
      asked.push([`${store}.${name}`, ...values.filter(value => value !== undefined)])
      return (target as Record<string, (...values: unknown[]) => unknown>)[name]!(...values)
    },
  })
  const files = createStoredFiles({
    keyPrefix,
    b2: b2 === false
      ? undefined
      : told<B2>('b2', {
        track: async () => undefined,
        read: async () => undefined,
        remove: async () => {},
        end: async () => {},
        endLater: async () => true,
        noteBelow: async () => true,
        forgetDeleted: async () => true,
        mayReturn: () => false,
        isForgotten: () => false,
        isRemoving: () => false,
        ...b2,
      }),
    local: told<Local>('local', {
      find: async () => undefined,
      openFile: async () => undefined,
      remove: async () => {},
      removeFile: async () => false,
      isClaimedElsewhere: async () => false,
      ...local,
    }),
    promoter: told('promoter', { stopWriting: async () => {} }),
  })
  return { files, asked, calls: () => asked.map(([name]) => name) }
}
