import { failBeyondWindow } from '../support/faults/beyond-window.ts'

failBeyondWindow({
  name: 'part 5 meets a busy B2',
  faults: [{ operation: 'UploadPart', part: 5, status: 503, times: Infinity }],
  error_code: 'service_unavailable',
})
