import { keepsToItsBucket } from '../../support/service/own-bucket.ts'

keepsToItsBucket('development')
