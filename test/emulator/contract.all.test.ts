import t from 'tap'
import { protocolContract, serviceContract } from '../contract/contract.ts'
import { emulatorTarget } from '../contract/emulator-target.ts'

const target = await emulatorTarget(t)
protocolContract(t, target)
serviceContract(t, target)
