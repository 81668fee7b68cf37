import { MIB, receiptsFailOf } from '../support/faults/receipts-fail.ts'

// In several parts.
receiptsFailOf({ size: 6 * MIB, fields: {} })
