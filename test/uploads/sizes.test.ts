import t from 'tap'
import { uploadEverySize } from '../support/service/every-size.ts'

const MIB = 1_048_576

t.test('every size arrives in B2 whole, and nothing is created on the local disk meanwhile', async t => {
  await uploadEverySize(t, { part: 5 * MIB, window: 10 * MIB, largest: 30 * MIB })
})
