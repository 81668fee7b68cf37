import type { Fault } from '../../emulator/index.ts'
import { failBeyondWindow } from '../support/faults/beyond-window.ts'
import type { BeyondRow } from '../support/faults/beyond-window.ts'

const always = (fault: Fault): Fault => ({ ...fault, times: Infinity })

const ROWS: BeyondRow[] = [
  { name: 'Complete meets a busy B2', faults: [always({ operation: 'CompleteMultipartUpload', status: 503 })], error_code: 'service_unavailable' },
  {
    name: 'the answer of Complete is lost and nobody can look',
    faults: [always({ operation: 'CompleteMultipartUpload', action: 'lose-answer' }), always({ operation: 'HeadObject', status: 503 })],
    error_code: 'network_error',
  },
]

for (const row of ROWS) failBeyondWindow(row)
