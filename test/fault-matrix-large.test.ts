import { runArea } from './support/area.ts'

runArea('fault-matrix-large')
