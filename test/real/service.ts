import { serviceContract } from '../contract/contract.ts'
import { onRealServers } from './targets.ts'

await onRealServers(serviceContract, 'like B2')
