import t from 'tap'
import { parseTraceparent } from '../../plugins/trace-context.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'

t.test('a traceparent gives the trace, the caller\'s span and the flags', async t => {
  t.same(parseTraceparent(`00-${TRACE}-${SPAN}-01`), { trace_id: TRACE, span_id: SPAN, trace_flags: '01' })
  t.same(parseTraceparent(`00-${TRACE}-${SPAN}-00`), { trace_id: TRACE, span_id: SPAN, trace_flags: '00' })
  t.match(parseTraceparent(`00-0${TRACE.slice(1)}-0${SPAN.slice(1)}-01`), { span_id: `0${SPAN.slice(1)}` }, 'only zeros alone are none')
  t.match(parseTraceparent(`cc-${TRACE}-${SPAN}-01-what-the-future-will-bring`), { trace_id: TRACE }, 'a later version may have more')
})

t.test('one that is not valid is none', async t => {
  const bad = [
    undefined, '', 'x', `ff-${TRACE}-${SPAN}-01`, `00-${'0'.repeat(32)}-${SPAN}-01`, `00-${TRACE}-${'0'.repeat(16)}-01`, `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}`, `00-${TRACE}-${SPAN}-1`, `00-${TRACE}-${SPAN}-01-more`, `00-${TRACE}-${SPAN}-01-`, `cc-${TRACE}-${SPAN}-01more`, ` 00-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`, [`00-${TRACE}-${SPAN}-01`],
  ]
  for (const header of bad) t.equal(parseTraceparent(header), undefined, String(header))
})
