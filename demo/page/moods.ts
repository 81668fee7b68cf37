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
  slow: { label: 'slow', headline: 'B2 is slow.', meaning: 'Uploads take longer. Slowness alone does not cause a fallback.' },
  '503s': { label: '503s', headline: 'B2 answers 503.', meaning: 'The request is retried once. Then the file is stored locally.' },
  'wrong-key': { label: 'wrong key', headline: 'B2 refuses the key.', meaning: 'Retrying does not help: the circuit opens at once.' },
  'cap-exceeded': { label: 'cap exceeded', headline: 'B2’s cap is used up.', meaning: 'Retrying does not help: the circuit opens at once.' },
  stalled: { label: 'stalled', headline: 'B2 has stalled.', meaning: 'Nothing moves, even on a retry. Then the file is stored locally.' },
  down: { label: 'down', headline: 'B2 is unplugged.', meaning: 'It does not answer. Files, or the rest of them, are stored locally, and wait.' },
}
