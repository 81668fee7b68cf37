import { bytes } from '../service/service.ts'

export const MIB = 1_048_576
export const IDLE_MS = 800
export const CONTENT = bytes(32 * MIB)
