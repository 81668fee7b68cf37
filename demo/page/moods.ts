import type { B2Mood } from '../live-state.ts'

interface Words {
  /** On the switch. */
  label: string
  headline: string
  meaning: string
}

/** What each state of B2 is called, and what it means for uploads. */
export const MOODS: Record<B2Mood, Words> = {
  healthy: { label: 'healthy', headline: 'B2 is healthy.', meaning: 'Uploads go straight to it.' },
  slow: { label: 'slow', headline: 'B2 is slow.', meaning: 'Uploads take longer. That alone is no reason to fall back.' },
  '503s': { label: '503s', headline: 'B2 answers 503.', meaning: 'It is asked a second time. Then the file is stored locally.' },
  'wrong-key': { label: 'wrong key', headline: 'B2 refuses the key.', meaning: 'Asking again is no use: the circuit opens at once.' },
  'cap-exceeded': { label: 'cap exceeded', headline: 'B2’s cap is used up.', meaning: 'Asking again is no use: the circuit opens at once.' },
  stalled: { label: 'stalled', headline: 'B2 has stalled.', meaning: 'Nothing moves, nor at a second try. Then the file is stored locally.' },
  down: { label: 'down', headline: 'B2 is unplugged.', meaning: 'Nobody answers there. Files are stored locally, and wait.' },
}
