import { runArea } from './support/area.ts'

runArea('deploy')
