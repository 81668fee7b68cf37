/** How often a loop goes round (or how many take part): usually, and where there is time for it. `npm run verify` sets `LONG_LOOPS`. */
export function rounds (usual: number, long: number): number {
  return process.env['LONG_LOOPS'] === 'true' ? long : usual
}

/** Every second one of them, the first or the second of each pair, as files that take turns do; all of them where there is time. */
export function halfOf<Row> (rows: readonly Row[], which: 0 | 1): readonly Row[] {
  return rows.filter((_, index) => index % 2 === which || rounds(1, 2) === 2)
}
