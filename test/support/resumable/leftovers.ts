import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { B2Emulator } from '../../../emulator/index.ts'
import { inB2, sha256 } from '../service/service.ts'
import type { TestService } from '../service/service.ts'

type Local = Pick<TestService, 'localFiles'>

const LONGEST_MS = 30_000

/** What there is of uploads beside the files that they have become. */
export async function leftovers (b2: B2Emulator, service: Local): Promise<string[]> {
  const keys = [...new Set(b2.versions().map(({ key }) => key).filter(key => key.includes('.resumable/')))]
  return [...keys, ...b2.unfinishedUploads().map(({ key }) => `unfinished ${key}`), ...await service.localFiles()]
}

/** Waits until nothing is left of uploads but the files that they have become, and compares these. */
export async function onlyFilesAreLeft (t: Test, b2: B2Emulator, service: Local, contents: readonly Uint8Array[]): Promise<void> {
  const begun = performance.now()
  while ((await leftovers(b2, service)).length > 0 && performance.now() - begun < LONGEST_MS) await wait(20)
  t.same(await leftovers(b2, service), [], 'nothing is left')
  t.same(inB2(b2).files.map(file => file.sha256).sort(), contents.map(sha256).sort(), 'each file is in B2 once, whole')
}
