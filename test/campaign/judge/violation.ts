/** Something that must not be: the service broke a promise. */
export class Violation extends Error {
  override readonly name = 'Violation'
  /** Short, and the same for the same kind of trouble: two runs of a script are compared by it. */
  readonly kind: string

  constructor (kind: string, message: string) {
    super(`${kind}: ${message}`)
    this.kind = kind
  }
}
