import { tagLargeFiles, tagSmallFiles } from '../support/uploads/audio.ts'

tagLargeFiles('B2', ['a.wav', 'a.mp3', 'a.flac'])
tagSmallFiles('local-only')
tagLargeFiles('local-only')
