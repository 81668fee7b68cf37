import { wav } from '../scripts/samples/audio.ts'
import type { SampleOptions } from '../scripts/samples/audio.ts'
import type { SampleName } from './sample-names.ts'

const artist = 'The Sample Generators'

// The last two take long enough to break B2 meanwhile; the last one has outgrown the replay window then.
const SAMPLES: Record<SampleName, SampleOptions> = {
  'pentatonic-morning.wav': { seconds: 8, title: 'Pentatonic Morning', artist, trackNumber: 1, year: 2025 },
  'the-long-way-round.wav': { seconds: 120, title: 'The Long Way Round', artist, trackNumber: 2, year: 2025 },
  'all-night-train.wav': { seconds: 600, title: 'All Night Train', artist, trackNumber: 3, year: 2025 },
  'the-endless-encore.wav': { seconds: 1_400, title: 'The Endless Encore', artist, trackNumber: 4, year: 2025 },
}

export function sampleTrack (name: SampleName): Buffer {
  return wav(SAMPLES[name])
}
