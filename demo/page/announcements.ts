import { useEffect, useRef, useState } from 'preact/hooks'
import type { LiveState } from '../live-state.ts'
import type { StoredFile } from './files.ts'
import type { Sending } from './uploads.ts'

const STORED = { b2: 'is stored in B2', local: 'is stored in local storage', split: 'is split: B2 has its beginning, and local storage the rest' }
/** What has become of a file, by where it was before. */
const MOVED: Record<string, string> = { local: 'has moved to B2', split: 'has been joined in B2' }

/** What has just changed, for those who don't see it: files that arrived, moved or failed, and the circuit. */
export function useAnnouncements (sending: Sending[], files: StoredFile[], live: LiveState | undefined): string {
  const [text, setText] = useState('')
  const before = useRef(new Map<string, string>())
  const circuit = useRef(live?.circuit)

  useEffect(() => {
    const news: string[] = []
    for (const { id, name, error } of sending) {
      if (error !== undefined && before.current.get(id) !== error) news.push(`${name} was not stored. ${error}`)
      before.current.set(id, error ?? '')
    }
    for (const { name, storage, receipt } of files) {
      if (receipt === undefined || before.current.get(name) === storage) continue
      const title = receipt.track.audio?.title ?? receipt.track.filename
      news.push(`${title} ${before.current.has(name) ? MOVED[before.current.get(name)!] ?? MOVED['local'] : STORED[storage]}.`)
      before.current.set(name, storage)
    }
    if (circuit.current !== undefined && live !== undefined && circuit.current !== live.circuit) news.push(`The circuit is ${live.circuit.replace('_', '-')}.`)
    circuit.current = live?.circuit
    if (news.length > 0) setText(news.join(' '))
  }, [sending, files, live])

  return text
}
