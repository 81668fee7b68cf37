/**
 * An emulator of Backblaze B2's S3-compatible API for tests: real sockets, real signatures, and faults on demand.
 */
export { startB2Emulator } from './server.ts'
export type { B2Emulator, B2EmulatorOptions, StoredObject, StoredVersion, UnfinishedUpload } from './emulator.ts'
export type { Fault, FaultAction, FaultHandle } from './faults/faults.ts'
export type { EmulatorEvent, EmulatorListener, RequestOutcome, RequestRecord } from './journal.ts'
export type { Throttle } from './http/exchange.ts'
export type { Operation } from './http/target.ts'
