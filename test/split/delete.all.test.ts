import { deleteDuringJoin } from '../support/split/delete-during-join.ts'

deleteDuringJoin('the look whether B2 has it')
deleteDuringJoin('a part on its way')
deleteDuringJoin('a part that is done')
deleteDuringJoin('its receipt')
deleteDuringJoin('the completion that is done')
