import { runArea } from './support/area.ts'

runArea('b2')
