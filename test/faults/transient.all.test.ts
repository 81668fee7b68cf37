import { survivesReset } from '../support/faults/survives-reset.ts'

survivesReset('before-body')

survivesReset('after-body')
