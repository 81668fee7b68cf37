import { writeFile } from 'node:fs/promises'
import { wav } from './audio.ts'

const path = process.argv[2]
if (path === undefined) {
  console.error('Usage: tsx scripts/samples/write-track.ts <file.wav>')
  process.exitCode = 2
} else {
  await writeFile(path, wav({
    seconds: 8,
    title: 'Pentatonic Morning',
    artist: 'The Sample Generators',
    album: 'Written from the Specs',
    trackNumber: 1,
    year: 2025,
    genre: 'Electronic'
  }))
  console.log(path)
}
