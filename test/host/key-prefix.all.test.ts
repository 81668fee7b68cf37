import { findsUnder } from '../support/promotion/key-prefix.ts'

for (const prefix of ['', 'tracks-', 'music/2026/']) findsUnder(prefix)
