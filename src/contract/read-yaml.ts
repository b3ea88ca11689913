import { isMap, LineCounter, parseDocument } from 'yaml'
import { check } from './schema.ts'
import type { Static, TSchema } from 'typebox'
import type { Issue } from '../core/errors.ts'

/** One thing wrong in a file, and where. */
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
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  if (document.errors.length > 0) {
    return {
      issues: document.errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0])
        return { path: '', message: error.message, line, column: col }
      }),
    }
  }
  const value: unknown = document.toJS() ?? {}
  const checked = check(schema, value)
  if ('value' in checked) return checked
  return {
    issues: checked.issues.map((issue) => {
      const { line, col } = lines.linePos(offsetOf(document, issue.path))
      return { ...issue, line, column: col }
    }),
  }
}

/** Where the value at a dotted path stands: at its key in a map, so that the line is the one people look for. */
function offsetOf(document: ReturnType<typeof parseDocument>, path: string): number {
  const keys =
    path === ''
      ? []
      : path
          .replaceAll(/\[(\d+)\]/g, '.$1')
          .split('.')
          .map((part) => (/^\d+$/.test(part) ? Number(part) : part))
  for (let depth = keys.length; depth > 0; depth--) {
    const parent = depth === 1 ? document.contents : document.getIn(keys.slice(0, depth - 1), true)
    if (isMap(parent)) {
      const pair = parent.items.find((item) => String(item.key) === String(keys[depth - 1]))
      const range = (pair?.key as { range?: [number, number, number] } | undefined)?.range
      if (range !== undefined) return range[0]
    }
    const node = document.getIn(keys.slice(0, depth), true) as { range?: [number, number, number] } | undefined
    if (node?.range !== undefined) return node.range[0]
  }
  return 0
}

/** `FILE:LINE:COLUMN: path: message`, one line for each issue. */
export function formatFileIssues(file: string, issues: readonly FileIssue[]): string {
  return issues
    .map((issue) => `${file}:${issue.line}:${issue.column}: ${issue.path === '' ? '' : `${issue.path}: `}${issue.message}`)
    .join('\n')
}
