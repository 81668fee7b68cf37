import { MIB } from '../support/promotion/promotion.ts'
import { lateWritesOf } from '../support/promotion/late-writes.ts'

lateWritesOf(6 * MIB)
