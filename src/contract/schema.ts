/**
 * Contract holds the data that processes and releases exchange: documents, answers of the API, routing, statistics that merge. It runs in a
 * browser. This file checks a value against its schema.
 */
import { Type } from 'typebox'
import { Errors } from 'typebox/value'
import type { Static, TSchema, TUnsafe } from 'typebox'
import type { Issue } from '../core/errors.ts'

/** Version of the document format, which every document names. */
export const API_VERSION = 'slipway/v1'

/** Schema of a closed set of words. */
export function oneOf<const T extends readonly string[]>(values: T, options: { description?: string } = {}): TUnsafe<T[number]> {
  return Type.Unsafe<T[number]>({ type: 'string', enum: [...values], ...options })
}

/** Schema of a moment. @param description a sentence: the unit is added to it */
export function Time(description: string) {
  return Type.Integer({ description: `${description} UTC epoch milliseconds.` })
}

/** Checks `value` against `schema`: the typed value, or what is wrong with it, each with a path like `spec.variants[0].weight`. */
export function check<T extends TSchema>(schema: T, value: unknown): { value: Static<T> } | { issues: Issue[] } {
  const issues = new Map<string, Issue>()
  for (const error of Errors(schema, value)) {
    const found = error as { keyword: string; instancePath: string; message: string; params: Record<string, unknown> }
    // The parent of an unknown key repeats what the key's own error says.
    if (found.keyword === 'additionalProperties') continue
    const path = dotted(found.instancePath)
    if (!issues.has(path)) issues.set(path, { path, message: explain(found, schema) })
  }
  return issues.size === 0 ? { value: value as Static<T> } : { issues: [...issues.values()] }
}

function explain(
  error: { keyword: string; instancePath: string; message: string; params: Record<string, unknown> },
  schema: TSchema,
): string {
  if (error.keyword === 'boolean') return `unknown key${suggestion(error.instancePath, schema)}`
  if (error.keyword === 'enum') return `must be one of ${JSON.stringify(error.params['allowedValues'])}`
  if (error.keyword === 'pattern' && error.params['pattern'] === DURATION) return 'must be a number with ms, s, m, h or d, such as 10m'
  return error.message
}

/** How durations are written. */
export const DURATION = '^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$'

function suggestion(pointer: string, schema: TSchema): string {
  const parts = pointer.split('/').slice(1)
  const wrong = parts.pop() ?? ''
  let at: unknown = schema
  for (const part of parts) {
    const node = at as { properties?: Record<string, unknown>; items?: unknown; patternProperties?: Record<string, unknown> } | undefined
    at = node?.properties?.[part] ?? (/^\d+$/.test(part) ? node?.items : Object.values(node?.patternProperties ?? {})[0])
  }
  const known = Object.keys((at as { properties?: object } | undefined)?.properties ?? {})
  const near = closest(wrong, known)
  if (near !== undefined) return `; did you mean "${near}"?`
  return known.length > 0 ? `; known keys: ${known.join(', ')}` : ''
}

/** The candidate within two edits of `word` (one for short words), if there is one. */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = word.length <= 3 ? 2 : 3
  for (const candidate of candidates) {
    // The distance is at least the difference in length: a client's long key costs nothing.
    if (Math.abs(word.length - candidate.length) >= bestDistance) continue
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      bestDistance = distance
      best = candidate
    }
  }
  return best
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** `/spec/variants/0/weight` as `spec.variants[0].weight`. */
export function dotted(pointer: string): string {
  let path = ''
  for (const raw of pointer.split('/').slice(1)) {
    const part = raw.replaceAll('~1', '/').replaceAll('~0', '~')
    path += /^\d+$/.test(part) ? `[${part}]` : path === '' ? part : `.${part}`
  }
  return path
}
