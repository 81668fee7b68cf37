import { deleteDuring } from '../support/promotion/delete-during.ts'
import { HOLDS } from '../support/promotion/held-promotions.ts'

for (const held of HOLDS) deleteDuring(held)
