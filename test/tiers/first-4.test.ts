import { runShare } from '../support/run/share.ts'

runShare(import.meta.url)
