import { useEffect, useState } from 'preact/hooks'
import type { B2Mood, LiveState } from '../live-state.ts'

/** The demo's state as it is now; undefined until it is known and after the demo has ended. */
export function useLive (): LiveState | undefined {
  const [state, setState] = useState<LiveState>()
  useEffect(() => {
    const events = new EventSource('/demo/events')
    events.onmessage = ({ data }) => setState(JSON.parse(data))
    events.onerror = () => setState(undefined)
    return () => events.close()
  }, [])
  return state
}

export async function turnB2 (mood: B2Mood): Promise<void> {
  await fetch(`/demo/b2/${mood}`, { method: 'POST' })
}
