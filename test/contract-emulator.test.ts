import t from 'tap'
import { protocolContract, serviceContract } from './contract/contract.ts'
import { emulatorTarget } from './contract/emulator-target.ts'

const target = await emulatorTarget(t)
await protocolContract(t, target)
await serviceContract(t, target)
