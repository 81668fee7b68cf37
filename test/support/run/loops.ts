const isLong = process.env['LONG_LOOPS'] === 'true'

/** How often a loop goes round (or how many take part): usually, and where there is time for it. `npm run verify` sets `LONG_LOOPS`. */
export function rounds (usual: number, long: number): number {
  return isLong ? long : usual
}

/** Every `step`th row, from `first` on, so that files share the rows; all of them with `LONG_LOOPS`. */
export function every<Row> (step: number, rows: readonly Row[], first: number): readonly Row[] {
  return isLong ? rows : rows.filter((_, index) => index % step === first % step)
}
