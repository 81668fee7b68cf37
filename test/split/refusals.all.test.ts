import { endsParts, leavesParts } from '../support/split/refusals.ts'

endsParts('400', 'a part')
endsParts('501', 'a part')
endsParts('a bucket that is gone', 'the completion')
endsParts('501', 'the completion')
leavesParts('a key without the capability', 'a part')
leavesParts('a cap that is used up', 'a part')
leavesParts('a key id that B2 does not know', 'the completion')
leavesParts('a key without the capability', 'the completion')
