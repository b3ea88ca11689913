/** What the product needs of a logger; pino fits it. Fields first, message second. */
export interface Logger {
  /** Where it can be changed while the program runs. */
  level?: string
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** A logger for a purpose of its own, with a level of its own. */
  child?(fields: object, options: { readonly level: string }): Logger
}

/** For tests and embedding: says nothing. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
