import t from 'tap'
import { quoted, readDocument, rowsOf } from '../support/docs/markdown.ts'

const page = readDocument('docs/command-line.md')
const [, help] = /^const HELP = `(.*?)^`$/ms.exec(readDocument('cli/promote.ts'))!

t.test('the page has the options of promote, as its help has them', async t => {
  const options = rowsOf(page, 'option', 'does').map(([option]) => quoted(option!)[0])
  t.same(options, [...help!.matchAll(/^ {2}(?:-\w, )?(--[\w-]+) /gm)].map(([, option]) => option))
})

t.test('the page has the exit codes of promote, as its help has them', async t => {
  const codes = rowsOf(page, 'exit code', 'meaning').map(([code]) => code)
  t.same(codes, [...help!.split('Exit code:\n')[1]!.matchAll(/^ {2}(\d+(?:, \d+)*) /gm)].map(([, code]) => code))
})
