/** All that is wrong with the environment, in one message that holds no secret. @hideconstructor */
export class ConfigError extends Error {
  override name = 'ConfigError'
  /** The variables that are wrong or missing, in documented order. */
  readonly variables: string[]

  constructor (problems: readonly { readonly variable: string, readonly message: string }[]) {
    super(`Invalid configuration: ${problems.map(({ variable, message }) => `${variable} ${message}`).join('; ')}`)
    this.variables = problems.map(({ variable }) => variable)
  }
}

/** A value that is no good. The message continues the variable's name: "must be …". */
export class InvalidValue extends Error {
  override name = 'InvalidValue'
}

/** What to throw for an option that is not as it must be. */
export function badOption (name: string, must: string): TypeError {
  return new TypeError(`fastify-b2-uploads: the option ${name} must be ${must}`)
}
