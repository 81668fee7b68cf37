import t from 'tap'
import { rounds } from '../support/run/loops.ts'
import { uploadEverySize } from '../support/service/every-size.ts'

const MIB = 1_048_576

t.test('every size arrives in B2 whole, and nothing is created on the local disk meanwhile, with the defaults', async t => {
  await uploadEverySize(t, { part: 8 * MIB, window: 32 * MIB, largest: rounds(120, 300) * MIB })
})
