import { runArea } from './support/area.ts'

runArea('command')
