/** File names of the songs for those who have none at hand. */
export const SAMPLE_NAMES = ['pentatonic-morning.wav', 'the-long-way-round.wav', 'all-night-train.wav'] as const

export type SampleName = typeof SAMPLE_NAMES[number]
