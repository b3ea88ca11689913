/** What routing reads of an HTTP request: cookies, parameters of the address, fields of a JSON body. */

/** Bodies that are read for a field, on the main thread; a larger one has no fields. */
const FIELD_BODY_MAX = 256 * 1024
/** Longest value of a fact, and of a unit: a longer one names nobody. */
export const UNIT_MAX = 1000

/** A cookie of the header as it came (RFC 6265, section 4.2.1); of two with one name, the first. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=')
    if (at >= 0 && pair.slice(0, at).trim() === name)
      return bounded(
        pair
          .slice(at + 1)
          .trim()
          .replace(/^"(.*)"$/, '$1'),
      )
  }
  return undefined
}

/** A parameter of the address; of two with one name, the first. */
export function queryOf(url: string | undefined, name: string): string | undefined {
  const at = url?.indexOf('?') ?? -1
  if (at < 0) return undefined
  return bounded(new URLSearchParams(url!.slice(at + 1)).get(name) ?? undefined)
}

/** The body, for its fields; undefined where it is no JSON, or larger than 256 KiB. */
export function fieldsOf(body: Buffer): unknown {
  if (body.length > FIELD_BODY_MAX) return undefined
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    // The dialect says what is wrong with it.
    return undefined
  }
}

/**
 * A field of a JSON body, by a path such as `customer.id`; of rows, that of the first one, whether they are the body or lie under a key of
 * it. Texts, numbers and booleans are values.
 * @param root from {@link fieldsOf}
 * @returns undefined where there is none
 */
export function fieldOf(root: unknown, path: string): string | undefined {
  const names = path.split('.')
  const rows = isObject(root) ? Object.values(root).find((value) => Array.isArray(value) && isObject(value[0])) : undefined
  for (const start of [Array.isArray(root) ? root[0] : root, Array.isArray(rows) ? rows[0] : undefined]) {
    const value = names.reduce<unknown>((at, name) => (isObject(at) && Object.hasOwn(at, name) ? at[name] : undefined), start)
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return bounded(String(value))
  }
  return undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

function bounded(value: string | undefined): string | undefined {
  return value === undefined || value === '' || value.length > UNIT_MAX ? undefined : value
}
