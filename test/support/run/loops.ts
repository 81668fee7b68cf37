/** How often a loop goes round (or how many take part): usually, and where there is time for it. `npm run verify` sets `LONG_LOOPS`. */
export function rounds (usual: number, long: number): number {
  return process.env['LONG_LOOPS'] === 'true' ? long : usual
}
