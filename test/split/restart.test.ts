import { joinsAfterRestart } from '../support/split/restart.ts'

joinsAfterRestart('the same settings', {})
