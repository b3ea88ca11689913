import { styleText } from 'node:util'
import { ERROR_WORDS } from '../core/error-words.ts'
import { isSlipwayError, messageOf } from '../core/errors.ts'

/** Results go to standard output. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Everything that is not a result goes to standard error. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Emphasis on a terminal; plain text in pipes and with NO_COLOR. */
export function style(format: 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'cyan', text: string): string {
  return styleText(format, text, { stream: process.stdout })
}

/** Columns with two spaces between them; numbers to the right. */
export function table(rows: readonly (readonly string[])[], header?: readonly string[]): string {
  const all = header === undefined ? rows : [header, ...rows]
  const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const numeric = widths.map((_, column) => rows.length > 0 && rows.every((row) => /^[\d.,]+ ?\S{0,5}$|^-?$/.test(row[column] ?? '')))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (numeric[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  return all.map(line).join('\n')
}

/** Columns of a line, so that it fits on a terminal of 100 also where it is indented. */
const LINE = 96

/**
 * Breaks a text between words.
 * @param first what the first line begins with
 * @param others what the others begin with. Default: the same
 */
export function wrapped(text: string, first = '', others = first): string {
  const lines: string[] = []
  let line = first
  let isEmpty = true
  for (const word of text.split(' ')) {
    if (!isEmpty && line.length + 1 + word.length > LINE) {
      lines.push(line)
      line = others
      isEmpty = true
    }
    line += isEmpty ? word : ` ${word}`
    isEmpty = false
  }
  return [...lines, line].join('\n')
}

/** Prints the error and returns the exit code. */
export function reportError(error: unknown, json: boolean): number {
  if (!isSlipwayError(error)) {
    note(
      json
        ? JSON.stringify({ code: 'SLW_INTERNAL', message: messageOf(error) })
        : `slipway: a fault in slipway: ${error instanceof Error ? error.stack : messageOf(error)}`,
    )
    return 1
  }
  const { code, message, issues, exitCode } = error
  if (json) note(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'Error', code, message, hint: ERROR_WORDS[code].cure, issues }))
  else
    note(
      `${styleText('red', 'error:', { stream: process.stderr })} ${message}\n${styleText('dim', `${code}: ${ERROR_WORDS[code].cure}`, { stream: process.stderr })}`,
    )
  return exitCode
}
