/** Another upload with the same Idempotency-Key has stored its file. Nothing of this one is left. */
export class KeyTaken extends Error {
  override readonly name = 'KeyTaken'

  constructor () {
    super('Another upload has stored a file under this key.')
  }
}
