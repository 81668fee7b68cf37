/** A value that is no good. The message continues the variable's name: "must be …". */
export class InvalidValue extends Error {
  override name = 'InvalidValue'
}
