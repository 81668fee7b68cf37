import { endsParts, leavesParts, vanishes } from '../support/split/refusals.ts'

endsParts('a bucket that is gone', 'a part')
endsParts('400', 'the completion')
leavesParts('a key id that B2 does not know', 'a part')
leavesParts('a cap that is used up', 'the completion')
vanishes('a part')
vanishes('the completion')
