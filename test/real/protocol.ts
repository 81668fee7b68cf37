import { protocolContract } from '../contract/contract.ts'
import { onRealServers } from './targets.ts'

await onRealServers(protocolContract, 'all kinds')
