import { endsParts } from '../support/split/refusals.ts'

endsParts('a bucket that is gone', 'a part')
