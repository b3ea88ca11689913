import { isMap, isScalar, isSeq, LineCounter, parseAllDocuments, parseDocument } from 'yaml'
import { check } from './schema.ts'
import type { Static, TSchema } from 'typebox'
import { messageOf } from '../core/errors.ts'
import type { Issue } from '../core/errors.ts'

/** One fault in a file, with its place. */
export interface FileIssue extends Issue {
  readonly line: number
  readonly column: number
}

/**
 * Reads YAML (or JSON, which is YAML) against a schema.
 * @returns the document, or every issue with its line and column
 */
export function readYaml<T extends TSchema>(text: string, schema: T): { value: Static<T> } | { issues: FileIssue[] } {
  const lines = new LineCounter()
  return readDocument(parseDocument(text, { lineCounter: lines, prettyErrors: false }), lines, schema)
}

/** As {@link readYaml}, for a file of several documents with `---` between them; empty ones are skipped. */
export function readYamlDocuments<T extends TSchema>(text: string, schema: T): { value: Static<T>[] } | { issues: FileIssue[] } {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false })
  const isEmpty = (contents: unknown): boolean => contents === null || (isScalar(contents) && contents.value === null)
  const read = (Array.isArray(documents) ? documents : []).filter(({ contents, errors }) => !isEmpty(contents) || errors.length > 0)
  const found = read.map((document) => readDocument(document as ReturnType<typeof parseDocument>, lines, schema))
  const issues = found.flatMap((one) => ('issues' in one ? one.issues : []))
  return issues.length > 0 ? { issues } : { value: found.flatMap((one) => ('value' in one ? [one.value] : [])) }
}

function readDocument<T extends TSchema>(
  document: ReturnType<typeof parseDocument>,
  lines: LineCounter,
  schema: T,
): { value: Static<T> } | { issues: FileIssue[] } {
  if (document.errors.length > 0) {
    return {
      issues: document.errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0])
        return { path: '', message: error.message, line, column: col }
      }),
    }
  }
  let value: unknown
  try {
    value = document.toJS() ?? {}
  } catch (error) {
    // Unknown aliases, or too many aliases.
    return { issues: [{ path: '', message: messageOf(error), line: 1, column: 1 }] }
  }
  const checked = check(schema, value)
  if ('value' in checked) return checked
  return {
    issues: checked.issues.map((issue) => {
      const { line, col } = lines.linePos(offsetOf(document, issue.path))
      return { ...issue, line, column: col }
    }),
  }
}

/** Offset of the value at a dotted path: that of its key in a map, so that the line is the one people look for. */
function offsetOf(document: ReturnType<typeof parseDocument>, path: string): number {
  let at: unknown = document.contents
  let rest = path
  let offset = 0
  while (rest !== '') {
    if (isMap(at)) {
      // Keys may contain dots themselves: the longest key that fits is taken.
      const fits = (key: string): boolean => rest === key || rest.startsWith(`${key}.`) || rest.startsWith(`${key}[`)
      const pair = at.items.filter((item) => fits(keyText(item.key))).toSorted((x, y) => keyText(y.key).length - keyText(x.key).length)[0]
      const range = (pair?.key as { range?: [number, number, number] } | undefined)?.range
      if (pair === undefined || range === undefined) break
      offset = range[0]
      rest = rest.slice(keyText(pair.key).length).replace(/^\./, '')
      at = pair.value
    } else if (isSeq(at)) {
      const index = /^\[(\d+)\]\.?/.exec(rest)
      const item = at.items[Number(index?.[1])] as { range?: [number, number, number] } | undefined
      if (index === null || item?.range === undefined) break
      offset = item.range[0]
      rest = rest.slice(index[0].length)
      at = item
    } else break
  }
  return offset
}

/** A key as it stands in a dotted path. */
function keyText(key: unknown): string {
  const text = String(key)
  return /^\d+$/.test(text) ? `[${text}]` : text
}

/** `FILE:LINE:COLUMN: path: message`, one line for each issue. */
export function formatFileIssues(file: string, issues: readonly FileIssue[]): string {
  return issues
    .map((issue) => `${file}:${issue.line}:${issue.column}: ${issue.path === '' ? '' : `${issue.path}: `}${issue.message}`)
    .join('\n')
}
