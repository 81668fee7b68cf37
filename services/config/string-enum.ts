import { Type } from '@sinclair/typebox'

/** One of some words. TypeBox's own union of literals would become one schema for each. */
export function stringEnum<const Word extends string> (words: readonly Word[], description?: string) {
  return Type.Unsafe<Word>({ type: 'string', enum: words, ...(description === undefined ? {} : { description }) })
}
