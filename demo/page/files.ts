import { useEffect, useRef, useState } from 'preact/hooks'
import type { LiveFile, LiveState } from '../live-state.ts'
import { nameOf } from './receipt.ts'
import type { Receipt } from './receipt.ts'
import type { Answered } from './uploads.ts'

/** A stored file; its receipt says where it is. */
export interface StoredFile extends LiveFile {
  /** Undefined as long as the service could not say. */
  receipt: Receipt | undefined
}

/**
 * The stored files, newest first: those that this page has uploaded, and those that others have. A receipt is asked for
 * again when its file has moved.
 */
export function useFiles (live: LiveState | undefined, answered: Answered[]): StoredFile[] {
  const [receipts, setReceipts] = useState<Record<string, Receipt>>({})
  const asked = useRef(new Map<string, string>())
  const seen = useRef(new Set<string>())

  useEffect(() => {
    setReceipts(before => ({ ...Object.fromEntries(answered.map(({ receipt }) => [nameOf(receipt), receipt])), ...before }))
  }, [answered])

  useEffect(() => {
    for (const { name, storage } of live?.files ?? []) {
      const question = `in ${storage}, with B2 ${live!.b2}` // with B2 in another state, the answer may be another
      if (receipts[name]?.storage === storage || asked.current.get(name) === question) continue
      asked.current.set(name, question)
      ask(name).then(receipt => setReceipts(before => ({ ...before, [name]: receipt })), () => {})
    }
  }, [live, receipts])

  // The answer to an upload may be here before the demo tells of its file. One that it tells of no more was deleted.
  for (const { name } of live?.files ?? []) seen.current.add(name)
  const own = answered.map(({ id, receipt }) => ({ id, name: nameOf(receipt), storage: receipt.storage, first: receipt.storage, moving: false }))
  return [...live?.files ?? [], ...own.filter(({ name }) => !seen.current.has(name))]
    .sort((a, b) => a.name < b.name ? 1 : -1) // names begin with the time
    .map(file => ({ ...file, storage: receipts[file.name]?.storage ?? file.storage, receipt: receipts[file.name] }))
}

async function ask (name: string): Promise<Receipt> {
  const response = await fetch(`/uploads/${name}`)
  if (!response.ok) throw new Error(`The receipt was answered with ${response.status}`)
  return await response.json()
}
