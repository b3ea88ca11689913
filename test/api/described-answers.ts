/** Holds what the API answers against what it says of itself. */
import assert from 'node:assert/strict'
import { check } from '../../src/contract/schema.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'

const PATTERNS = ROOMS.routes.map((route) => ({
  route,
  pattern: new RegExp(`^(?:/env/[^/]+)?${route.path.replaceAll(/:[a-zA-Z]+/g, '[^/]+').replaceAll('*', '.*')}$`),
}))

/** @param path below `/api/v1`, with its query */
export function requireDescribed(method: string, path: string, status: number, body: unknown): void {
  if (status < 200 || status > 299 || body === undefined) return
  const [plain = ''] = path.split('?', 1)
  // Of several that fit, such as `/models/:model` and `/models/search`, one with fewer parameters is meant.
  const [found] = PATTERNS.filter(({ route, pattern }) => route.method === method && pattern.test(plain)).toSorted(
    (a, b) => a.route.path.split(':').length - b.route.path.split(':').length,
  )
  if (found === undefined) return
  const { answer, operation } = found.route
  assert.ok(answer !== undefined, `${operation} says that it has no answer, and has: ${JSON.stringify(body).slice(0, 500)}`)
  const checked = check(answer, body)
  assert.ok(
    !('issues' in checked),
    `${operation} answers what it does not say: ${JSON.stringify('issues' in checked ? checked.issues : [])}`,
  )
}
