import { leaveAt } from '../support/clients/leave-at.ts'

leaveAt({ twoParts: 46, beyondWindow: 6 })
