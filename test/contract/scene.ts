import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import { createB2Store } from '../../services/b2/store.ts'
import type { B2Store, B2StoreOptions } from '../../services/b2/store.ts'
import { createLogBook } from '../support/service/service.ts'
import type { LogBook } from '../support/service/service.ts'
import { S3 } from './s3.ts'
import type { Target } from './target.ts'

export const MIB = 1_048_576
/** Bytes of a part: the least that all servers take. */
export const PART = 5 * MIB

const LONGEST_SETTLING_MS = 30_000

/** One test's share of a target. */
export interface Scene {
  readonly target: Target
  readonly s3: S3
  /** This test's own; ends in a slash. */
  readonly prefix: string
  /** What is there, as `S3.all` tells it. */
  left (): Promise<string[]>
  /**
   * Asserts that this is what is there once all is done that goes on in the background. Where there are `stragglers`, which a
   * server that stood still carries out when it goes on, a file's receipt and a second version of it may be there, too.
   */
  settles (t: Test, wanted: readonly string[], stragglers?: boolean): Promise<void>
  /** A B2 store on the target, or on something else; it ends with the test. */
  store (options?: Partial<B2StoreOptions>): B2Store & { readonly log: LogBook }
}

/** A test of a target; whatever it leaves there is removed. */
export async function scene (t: Test, target: Target, name: string, run: (t: Test, scene: Scene) => Promise<void>): Promise<void> {
  await t.test(name, async t => {
    const own = setScene(t, target)
    await run(t, own)
  })
}

export function setScene (t: Test, target: Target): Scene {
  const s3 = new S3(target)
  const prefix = `${target.prefix}${randomUUID()}/`
  t.teardown(async () => {
    await s3.clear(prefix)
    s3.close()
  })
  return {
    target,
    s3,
    prefix,
    left: async () => await s3.all(prefix),
    async settles (t, wanted, stragglers = false) {
      const look = async (): Promise<string[]> => {
        const names = await s3.all(prefix)
        return stragglers ? [...new Set(names)].filter(name => !name.endsWith('.receipt.json')) : names
      }
      let found = await look()
      for (const end = Date.now() + LONGEST_SETTLING_MS; found.join() !== wanted.join() && Date.now() < end; found = await look()) await wait(100)
      t.same(found, wanted, 'what is there in the end')
    },
    store (options = {}) {
      const log = createLogBook()
      const write = (fields: object, msg: string): void => { log.stream.write(JSON.stringify({ ...fields, msg })) }
      const store = createB2Store({
        endpoint: target.endpoint,
        region: target.region,
        bucket: target.bucket,
        applicationKeyId: target.credentials.accessKeyId,
        applicationKey: target.credentials.secretAccessKey,
        partBytes: PART,
        log: { info: write, warn: write, error: write },
        ...options,
      })
      t.teardown(async () => { await store.close() })
      return { ...store, log }
    },
  }
}

interface Refusal {
  /** `accepted` where it was not refused. */
  readonly name: string
  readonly status: number | undefined
}

/** The S3 code and status with which a request was refused; an error without a body has the code of its status only. */
export async function refusal (request: Promise<unknown>): Promise<Refusal> {
  try {
    await request
    return { name: 'accepted', status: undefined }
  } catch (error) {
    const { name, $metadata } = error as Error & { $metadata?: { httpStatusCode?: number } }
    if ($metadata === undefined) throw error
    return { name, status: $metadata.httpStatusCode }
  }
}
