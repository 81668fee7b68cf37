import t from 'tap'
import { strikePromotions } from '../support/promotion/promotion-strikes.ts'

t.test('whatever goes wrong, the file stays until B2 has it once', t => strikePromotions(t, 'put'))
