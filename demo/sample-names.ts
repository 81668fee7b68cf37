/** File names of the songs for those who have none at hand. */
export const SAMPLE_NAMES = ['pentatonic-morning.wav', 'the-long-way-round.wav', 'all-night-train.wav'] as const

/** A song that is larger than the demo's replay window. */
export const LARGE_SAMPLE_NAME = 'the-endless-encore.wav'

export type SampleName = typeof SAMPLE_NAMES[number] | typeof LARGE_SAMPLE_NAME
