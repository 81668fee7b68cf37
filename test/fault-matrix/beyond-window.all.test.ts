import type { Fault } from '../../emulator/index.ts'
import { failBeyondWindow } from '../support/faults/beyond-window.ts'
import type { BeyondRow } from '../support/faults/beyond-window.ts'

const always = (fault: Fault): Fault => ({ ...fault, times: Infinity })

const ROWS: BeyondRow[] = [
  { name: 'part 6 is never answered', faults: [always({ operation: 'UploadPart', part: 6, action: 'hang' })], error_code: 'timeout', stalls: true },
  { name: 'the connection of the last part is reset', faults: [always({ operation: 'UploadPart', part: 8, action: 'reset', at: 'during-body' })], error_code: 'network_error' },
  { name: 'a cap is used up at part 5', faults: [always({ operation: 'UploadPart', part: 5, status: 403, message: 'storage cap exceeded' })], error_code: 'quota_exceeded' },
  // Such an answer says nothing about B2's health, and yet the retry must not meet it again.
  { name: 'part 5 is refused as invalid', faults: [always({ operation: 'UploadPart', part: 5, status: 400 })], error_code: 'invalid_request' },
]

for (const row of ROWS) failBeyondWindow(row)
