import t from 'tap'
import { silentLog, withFields } from '../../services/log.ts'
import type { Log } from '../../services/log.ts'

const LEVELS = ['info', 'warn', 'error'] as const

t.test('each line has the fields of its log, and its own before them', async t => {
  const lines: unknown[] = []
  const log = Object.fromEntries(LEVELS.map(level => [level, (fields: object, message: string) => { lines.push([level, fields, message]) }])) as unknown as Log
  const more = withFields(log, { a: 1, b: 2 })
  for (const level of LEVELS) more[level]({ b: 3, c: 4 }, 'words')
  t.same(lines, LEVELS.map(level => [level, { a: 1, b: 3, c: 4 }, 'words']))
})

t.test('a silent log takes lines of all levels', async t => {
  for (const level of LEVELS) t.doesNotThrow(() => silentLog[level]({}, 'words'))
})
