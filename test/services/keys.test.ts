import t from 'tap'
import { baseName, isKey, isKeyed, keyedUuid, keyPrefixFault, newKey, timeOfName, uuidv7 } from '../../services/keys.ts'

const ID = '019a3c5e-6f0a-7c3b-9d51-2f1c8a7be001'

t.test('ids begin with their time, and end in what is random', async t => {
  t.match(uuidv7(0x0123456789ab), /^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.match(uuidv7(0x89ab), /^00000000-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.not(uuidv7(1), uuidv7(1))
  const before = Date.now()
  const time = parseInt(uuidv7().slice(0, 13).replace('-', ''), 16)
  t.ok(time >= before && time <= Date.now(), 'which is now where none is given')
})

t.test('an id made of a caller and its key is always the same, and another for each other pair', async t => {
  t.equal(keyedUuid('a', 'b'), '1f871cbb-3c1f-88ee-857b-27dddd52a2cb')
  t.equal(keyedUuid(null, 'b'), '5cc22a24-9653-81e5-8ac2-fd396194c5fc')
  const pairs = [[null, 'b'], ['', 'b'], ['null', 'b'], ['a', 'b'], ['a', 'B'], ['ab', ''], ['', 'ab'], ['a","b', 'c'], ['a', 'b","c'], ['a', 'b '], ['a\n', 'b'], ['a', '\nb']] as const
  const ids = pairs.map(([caller, key]) => keyedUuid(caller, key))
  t.equal(new Set(ids).size, pairs.length)
  for (const id of Array.from({ length: 100 }, (_, index) => keyedUuid('a', String(index)))) {
    t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    t.ok(isKey('tracks/', `tracks/${id}.mp3`))
    t.ok(isKeyed(`tracks/${id}.mp3`) && isKeyed(id))
    t.equal(timeOfName(`${id}.mp3`), undefined, 'it has no time')
  }
  for (const name of [ID, `tracks/${ID}.mp3`, `tracks/${ids[0]}.mp3.receipt.json`, `${ids[0]}.receipt.json`, 'x', '']) t.notOk(isKeyed(name), name)
  t.equal(timeOfName(`${uuidv7(5)}.mp3`), 5)
})

t.test('of a client\'s name the last piece is kept, without what is not printed', async t => {
  for (const [name, expected] of [
    ['song.mp3', 'song.mp3'],
    ['C:\\music\\song.mp3', 'song.mp3'],
    ['../../music/song.mp3', 'song.mp3'],
    ['a/b\\c', 'c'],
    ['a\\b/c', 'c'],
    [' a\0b\nc\x7f\u202e\u200e ', 'abc'],
    ['夢 é.mp3', '夢 é.mp3'],
    ['\ud800x', '\ufffdx'],
    ['..x', '..x'],
    ...[undefined, '', '.', '..', ' ', '\t', 'folder/', 'folder\\', '/..', '\0.\0'].map(name => [name, 'file'] as const),
  ] as const) t.equal(baseName(name), expected, JSON.stringify(name))
})

t.test('a long one is cut to 255 characters, of which the last are its extension', async t => {
  for (const [name, expected] of [
    ['x'.repeat(255), 'x'.repeat(255)],
    ['x'.repeat(256), 'x'.repeat(255)],
    ['🎵'.repeat(255), '🎵'.repeat(255)],
    [`${'🎵'.repeat(255)}.mp3`, `${'🎵'.repeat(251)}.mp3`],
    [`${'x'.repeat(251)}.mp3`, `${'x'.repeat(251)}.mp3`],
    [`${'x'.repeat(252)}.MP3`, `${'x'.repeat(251)}.MP3`],
    [`${'x'.repeat(300)}.a2345678`, `${'x'.repeat(246)}.a2345678`],
    [`${'x'.repeat(300)}.a23456789`, 'x'.repeat(255)],
    [`${'x'.repeat(300)}.`, 'x'.repeat(255)],
    [`${'x'.repeat(300)}.a-b`, 'x'.repeat(255)],
    [`a.mp3 ${'x'.repeat(300)}`, `a.mp3 ${'x'.repeat(249)}`],
  ] as const) t.equal(baseName(name), expected, `${name.length} of ${name.slice(0, 7)} … ${name.slice(-12)}`)
})

t.test('a key has of the name the extension alone, where it is harmless', async t => {
  for (const [filename, key] of [
    ['song.mp3', `tracks/${ID}.mp3`],
    ['Song.MP3', `tracks/${ID}.mp3`],
    ['a.tar.gz', `tracks/${ID}.gz`],
    ['.a2345678', `tracks/${ID}.a2345678`],
    ...['file', 'mp3', 'a.', 'a.a23456789', 'a.m-3', 'a.mp3 ', 'a.mp3\n', 'a.é', 'a.mp3.'].map(filename => [filename, `tracks/${ID}`] as const),
  ] as const) {
    t.equal(newKey('tracks/', ID, filename), key, JSON.stringify(filename))
    t.ok(isKey('tracks/', key), key)
  }
  t.equal(newKey('', ID, 'a.b'), `${ID}.b`)
})

t.test('what no upload can be called is no key', async t => {
  for (const key of [
    '', 'tracks/', ID, `others/${ID}`, `tracks/x${ID}`, `tracks/a/${ID}`, `tracks/${ID}x`, `tracks/${ID}.`, `tracks/${ID}.MP3`, `tracks/${ID}.a23456789`,
    `tracks/${ID}.mp3.receipt.json`, `tracks/${ID.replace('-7', '-4')}`, `tracks/${ID.replace('-9', '-c')}`, `tracks/${ID.toUpperCase()}`, `tracks/${ID.slice(1)}`,
  ]) t.notOk(isKey('tracks/', key), key)
  t.ok(isKey('', ID))
})

t.test('a prefix is a relative path that S3, a directory and a URL can have', async t => {
  for (const prefix of [
    '', 'tracks/', 'tracks-', 'a/b-', 'a/b.c/d../', 'x.y', 'Müsik/', 'a b/', 'a'.repeat(50), 'é'.repeat(25), `${'é'.repeat(90)}/`, `${'é'.repeat(90)}/${'é'.repeat(25)}`,
    `${'é'.repeat(89)}/`.repeat(5) + 'a/b/c', // 900 bytes
  ]) t.equal(keyPrefixFault(prefix), undefined, prefix)
  for (const [fault, ...prefixes] of [
    ['a relative prefix such as tracks/, without a leading /', '/', '/tracks/', '//'],
    ['a relative prefix such as tracks/, without a segment that begins with a dot', '.', '..', '../', '.h/', 'a/.h', 'a/./b', '.a/b/', 'a/../'],
    ['a relative prefix such as tracks/, without an empty segment (//)', 'a//', 'a//b', 'a//b/'],
    ['a relative prefix such as tracks/, without a dot at its end', 'a.', 'a/h.'],
    ['a relative prefix such as tracks/, without a backslash', '\\', 'a\\b', 'a\\b/'],
    ['a relative prefix such as tracks/, without a control character', 'a\0/', 'a\x85b'],
    ['at most 900 UTF-8 bytes long, not 901', `${'é'.repeat(89)}/`.repeat(5) + 'a/bc/d', `${'a'.repeat(179)}/`.repeat(5) + 'b'],
    ['made of segments of at most 180 UTF-8 bytes', `${'é'.repeat(90)}a/`, `a/${'é'.repeat(91)}/b`],
    ['followed by a / if its last segment is longer than 50 UTF-8 bytes', 'a'.repeat(51), `tracks/${'é'.repeat(26)}`],
  ] as const) for (const prefix of prefixes) t.equal(keyPrefixFault(prefix), fault, JSON.stringify(prefix))
})
