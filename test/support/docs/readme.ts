import { readFileSync } from 'node:fs'

const README = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')

/** Fenced code blocks of README in a language, in order. */
export function codeBlocks (language: string): string[] {
  return [...README.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, name]) => name === language).map(([, , code]) => code!)
}

/** The rows of README's table that has these column titles, each with its cells. */
export function tableRows (...titles: string[]): string[][] {
  const lines = README.split('\n')
  const first = lines.indexOf(`| ${titles.join(' | ')} |`)
  if (first === -1) throw new Error(`README has no table with the columns ${titles.join(', ')}`)
  const rest = lines.slice(first + 2)
  const end = rest.findIndex(line => !line.startsWith('|'))
  return rest.slice(0, end).map(line => line.split('|').slice(1, -1).map(cell => cell.trim()))
}

/** What stands in backticks. */
export function quoted (text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code!)
}
