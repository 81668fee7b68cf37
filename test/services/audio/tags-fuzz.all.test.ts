import assert from 'node:assert/strict'
import { Value } from '@sinclair/typebox/value'
import fc from 'fast-check'
import { fromBuffer } from 'strtok3'
import t from 'tap'
import { flac, m4a, mp3, ogg, wav } from '../../../scripts/samples/audio.ts'
import { AudioTagsSchema, readAudioTags } from '../../../services/audio/tags.ts'
import { PartTokenizer } from '../../../services/audio/part-tokenizer.ts'
import { holds, pieces } from '../../support/run/fuzz.ts'

const NO_LIMIT = { reads: Infinity, bytes: Infinity, readBytes: Infinity }
const place = fc.nat({ max: 65 })
const steps = fc.array(fc.record({
  call: fc.constantFrom('readBuffer', 'peekBuffer', 'ignore', 'setPosition'),
  length: fc.nat({ max: 15 }),
  position: fc.option(place, { nil: undefined }),
  mayBeLess: fc.boolean(),
}), { maxLength: 12 })

t.test('a file in parts is read as one in a single buffer is', async () => {
  await holds(1_500, fc.asyncProperty(fc.uint8Array({ minLength: 40, maxLength: 60 }), fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 4 }), steps, async (bytes, sizes, steps) => {
    const both = [new PartTokenizer(pieces(bytes, sizes), { size: bytes.byteLength }, NO_LIMIT), fromBuffer(bytes)]
    for (const { call, length, position, mayBeLess } of steps) {
      const outcomes = await Promise.all(both.map(async tokenizer => {
        const target = Buffer.alloc(length)
        try {
          if (call === 'setPosition') tokenizer.setPosition(position ?? 0)
          else if (call === 'ignore') await tokenizer.ignore(length)
          else await tokenizer[call](target, { mayBeLess, ...(position === undefined ? {} : { position }) })
          return { target, position: tokenizer.position }
        } catch (error) {
          return { error: (error as Error).name }
        }
      }))
      assert.deepEqual(outcomes[0], outcomes[1], call)
      if ('error' in outcomes[0]!) return
    }
  }))
})

const SONG = { seconds: 1, title: 'Song', artist: 'Singer' }
const SAMPLES = [['audio/wav', wav(SONG)], ['audio/mpeg', mp3(SONG)], ['audio/flac', flac(SONG)], ['audio/mp4', m4a(SONG)], ['audio/ogg', ogg(SONG)]] as const

t.test('of a damaged file the tags are what the schema allows, or nothing, wherever its parts end', async () => {
  const change = fc.record({ where: fc.nat({ max: 600 }), drop: fc.nat({ max: 4 }), add: fc.uint8Array({ maxLength: 4 }) })
  await holds(200, fc.asyncProperty(fc.constantFrom(...SAMPLES), fc.array(change, { minLength: 1, maxLength: 4 }), fc.integer({ min: 200, max: 100_000 }), async ([contentType, sample], changes, size) => {
    let file = sample
    for (const { where, drop, add } of changes) file = Buffer.concat([file.subarray(0, where), add, file.subarray(where + drop)])
    const whole = await readAudioTags([file], { contentType, size: file.byteLength })
    assert(whole === null || Value.Check(AudioTagsSchema, whole), JSON.stringify(whole))
    assert.deepEqual(await readAudioTags(pieces(file, [size]), { contentType, size: file.byteLength }), whole)
  }))
})
