/** Log methods that the services need; pino's loggers and Fastify's fit. */
export interface Log {
  info (fields: object, message: string): void
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
}

export const silentLog: Log = { info () {}, warn () {}, error () {} }

/** The same log, with `more` in each of its lines. */
export function withFields (log: Log, more: object): Log {
  return {
    info: (fields, message) => log.info({ ...more, ...fields }, message),
    warn: (fields, message) => log.warn({ ...more, ...fields }, message),
    error: (fields, message) => log.error({ ...more, ...fields }, message),
  }
}

/** Ties log lines about an upload to its request. */
export interface UploadContext {
  /** The upload's own, or that of its request. */
  readonly correlationId: string
  /** Its lines carry `correlation_id`. */
  readonly log: Log
}
