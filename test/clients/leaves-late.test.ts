import { isStoredAfter } from '../support/clients/leaves-late.ts'

isStoredAfter(['resetAndDestroy'])
