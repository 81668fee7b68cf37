const MIB = 1_048_576

/** Bytes of files around every bound: none, B2's least part, ours, the replay window, and far beyond. */
export const SIZES = [0, 1, 4_999_999, 5_000_000, 5_000_001, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 32 * MIB, 32 * MIB + 1, 100 * MIB]
