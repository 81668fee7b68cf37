import t from 'tap'
import { stringEnum } from '../../../services/config/string-enum.ts'

t.test('one of some words is one schema, described or not', async t => {
  t.equal(JSON.stringify(stringEnum(['a', 'b'])), '{"type":"string","enum":["a","b"]}')
  t.equal(JSON.stringify(stringEnum(['a'], 'A letter.')), '{"type":"string","enum":["a"],"description":"A letter."}')
})
