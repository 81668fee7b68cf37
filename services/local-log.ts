/** What the local store needs of a logger; pino's and Fastify's fit. */
export interface LocalStoreLog {
  info (facts: object, message: string): void
  warn (facts: object, message: string): void
  error (facts: object, message: string): void
}

export const silentLog: LocalStoreLog = { info () {}, warn () {}, error () {} }
