import t from 'tap'
import { rangeOf } from '../../../routes/http/range-header.ts'
import { CASES, EMPTY_CASES, SIZE } from '../../support/clients/conditional-cases.ts'

for (const [size, cases] of [[SIZE, CASES], [0, EMPTY_CASES]] as const) {
  t.test(`of a file of ${size} bytes a Range header asks for what it is answered with`, async t => {
    for (const [headers, expected] of cases) {
      // What conditions make of it is not decided here.
      if (Object.keys(headers).some(name => name !== 'range')) continue
      const range = typeof expected !== 'number' ? { first: expected[0], last: expected[1] } : expected === 416 ? 'unsatisfiable' : undefined
      t.same(rangeOf(headers['range'], size), range, headers['range'] ?? 'none')
    }
  })
}

t.test('numbers of up to 19 digits are read, and spaces around them', async t => {
  for (const [header, range] of [
    [`bytes=${'0'.repeat(18)}5-${'0'.repeat(18)}6`, { first: 5, last: 6 }],
    [`bytes=${'0'.repeat(19)}5-6`, 'unsatisfiable'],
    [`bytes=5-${'0'.repeat(19)}6`, 'unsatisfiable'],
    ['bytes=  5  -  6  ', { first: 5, last: 6 }],
    ['bytes=1000-, 5-6', { first: 5, last: 6 }],
    ['bytes=\t5-6', 'unsatisfiable'],
    ['bytes=5-6\n', 'unsatisfiable'],
    ['bytes=-  5', { first: 995, last: 999 }],
  ] as const) t.same(rangeOf(header, SIZE), range, header)
})
