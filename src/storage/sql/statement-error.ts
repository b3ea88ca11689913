/** Length of the part of a statement that a message shows, in characters. */
const SHOWN = 300

/**
 * A statement that the database refused. The message names the statement, never its parameters, which may be secret.
 * `code` is the name of the SQLite result code (`SQLITE_CONSTRAINT_UNIQUE`) or the SQLSTATE of PostgreSQL (`23505`).
 */
export class StatementError extends Error {
  override readonly name: string = 'StatementError'
  readonly code: string
  readonly statement: string

  constructor(code: string, reason: string, statement: string) {
    super(`${reason} (${code}) in the statement: ${shortened(statement)}`)
    this.code = code
    this.statement = statement
  }
}

/** A statement on one line, cut where it is long. */
export function shortened(statement: string): string {
  // Only the beginning is looked at: an insertion of many rows is megabytes.
  const line = statement
    .slice(0, SHOWN * 4)
    .replaceAll(/\s+/g, ' ')
    .trim()
  return line.length > SHOWN || statement.length > SHOWN * 4 ? `${line.slice(0, SHOWN)} ...` : line
}

const UNIQUE_VIOLATIONS: ReadonlySet<string> = new Set(['SQLITE_CONSTRAINT_UNIQUE', 'SQLITE_CONSTRAINT_PRIMARYKEY', '23505'])
const FOREIGN_KEY_VIOLATIONS: ReadonlySet<string> = new Set(['SQLITE_CONSTRAINT_FOREIGNKEY', '23503'])

/** Whether a statement failed because a row with the same unique key is there, also as the cause of another error. */
export function isUniqueViolation(error: unknown): boolean {
  return hasCode(error, UNIQUE_VIOLATIONS)
}

/** Whether a statement failed because a row refers to one that is not there, or is referred to. */
export function isForeignKeyViolation(error: unknown): boolean {
  return hasCode(error, FOREIGN_KEY_VIOLATIONS)
}

function hasCode(error: unknown, codes: ReadonlySet<string>): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof StatementError && codes.has(at.code)) return true
  return false
}
