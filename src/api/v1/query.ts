import type { TSchema } from 'typebox'

/** Converts the strings of a query to the integers and booleans that the schema expects, where they are written as such. */
export function coerceQuery(schema: TSchema | undefined, query: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const properties = (schema as { properties?: Record<string, { type?: string }> } | undefined)?.properties ?? {}
  return Object.fromEntries(
    Object.entries(query).map(([key, value]) => {
      // Of a name that is given twice the last value counts, as in most servers.
      const text: unknown = Array.isArray(value) ? value.at(-1) : value
      const type = properties[key]?.type
      if (typeof text !== 'string') return [key, text]
      if (type === 'integer' && /^-?\d{1,15}$/.test(text)) return [key, Number(text)]
      if (type === 'boolean' && (text === 'true' || text === 'false')) return [key, text === 'true']
      return [key, text]
    }),
  )
}
