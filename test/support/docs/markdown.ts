import { readFileSync } from 'node:fs'

/** A document of the project, by its path from the root. */
export function readDocument (path: string): string {
  return readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')
}

/** A heading with what follows it, up to the next one of any level. */
export interface Section {
  readonly level: number
  readonly title: string
  /** As links name it. */
  readonly anchor: string
  readonly text: string
}

export function sectionsOf (markdown: string): Section[] {
  const withoutCode = markdown.replace(/^```.*?^```$/gms, '')
  return [...withoutCode.matchAll(/^(#+) (.+)\n([^]*?)(?=^#+ |$(?![^]))/gm)].map(([, marks, title, text]) => ({
    level: marks!.length,
    title: title!,
    anchor: title!.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-'),
    text: text!.trim(),
  }))
}

/** Links that are none to elsewhere: the file (empty for the same one) and the anchor. */
export function linksOf (markdown: string): { path: string, anchor: string | undefined }[] {
  return [...markdown.matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].map(([, path, anchor]) => ({ path: path!, anchor }))
}

/** The cells of the rows of a document's first table that has these column titles. */
export function rowsOf (markdown: string, ...titles: string[]): string[][] {
  const head = `| ${titles.join(' | ')} |`.replaceAll('  ', ' ')
  const lines = markdown.split('\n')
  const first = lines.indexOf(head)
  if (first === -1) throw new Error(`there is no table with the columns ${titles.join(', ')}`)
  const rest = lines.slice(first + 2)
  const end = rest.findIndex(line => !line.startsWith('|'))
  return rest.slice(0, end === -1 ? undefined : end).map(line => line.split('|').slice(1, -1).map(cell => cell.trim()))
}

/** The same of all tables with these column titles. */
export function tablesOf (markdown: string, ...titles: string[]): string[][] {
  const head = `\n| ${titles.join(' | ')} |\n`
  return markdown.split(head).slice(1).flatMap(text => rowsOf(`${head}${text}`, ...titles))
}

/** Fenced blocks of code in a language, in order. */
export function codeIn (markdown: string, language: string): string[] {
  return [...markdown.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, name]) => name === language).map(([, , code]) => code!)
}

/** What stands in backticks. */
export function quoted (text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code!)
}
