import { readDocument } from '../docs/markdown.ts'

/** The least limit of memory for a budget, in bytes, as the documentation has it. */
export function memoryFor (budgetBytes: number): number {
  const [, base, factor] = /(\d+) MB \+ ([\d.]+) × the budget/.exec(readDocument('docs/operations.md'))!
  return Number(base) * 1_000_000 + Number(factor) * budgetBytes
}
