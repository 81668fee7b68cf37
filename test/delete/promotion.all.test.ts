import { deleteDuring } from '../support/promotion/delete-during.ts'
import { holdsOf } from '../support/promotion/held-promotions.ts'

for (const held of holdsOf('second')) deleteDuring(held)
