/** Interface of a logger; pino fits it. Fields first, message second. */
export interface Logger {
  /** Level, where it can be changed while the program runs. */
  level?: string
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** A logger for one purpose, with its own level. */
  child?(fields: object, options: { readonly level: string }): Logger
}

/** A logger that writes nothing, for tests and embedding. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
