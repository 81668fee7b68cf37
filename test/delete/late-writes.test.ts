import { KIB } from '../support/promotion/promotion.ts'
import { lateWritesOf } from '../support/promotion/late-writes.ts'

lateWritesOf(KIB)
