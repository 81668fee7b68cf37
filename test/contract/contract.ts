import type { Test } from 'tap'
import { accessProtocol } from './protocol/access.ts'
import { objectProtocol } from './protocol/objects.ts'
import { partProtocol } from './protocol/parts.ts'
import { versionProtocol } from './protocol/versions.ts'
import { refusalContract } from './service/failures.ts'
import { outageContract } from './service/outage.ts'
import { uploadContract } from './service/uploads.ts'
import { storeContract } from './store.ts'
import type { Target } from './target.ts'

/** What the service relies on, asked for by a client of its own, and its B2 store. */
export function protocolContract (t: Test, target: Target): void {
  for (const part of [objectProtocol, versionProtocol, partProtocol, accessProtocol, storeContract]) {
    t.test(`${target.name}: ${part.name}`, async t => await part(t, target))
  }
}

/** The whole service over HTTP, with the server behind it. */
export function serviceContract (t: Test, target: Target): void {
  for (const part of [uploadContract, refusalContract, outageContract]) {
    t.test(`${target.name}: ${part.name}`, async t => await part(t, target))
  }
}
