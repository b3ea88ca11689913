/** Values of a chart: what may be changed, with a comment, a default and a schema each. From one list come values.yaml and its schema. */
import { Document, isMap, isScalar, visit } from 'yaml'
import type { Json } from '../object.ts'

export interface ChartValue {
  readonly comment?: string
  readonly default: Json
  /** JSON Schema (draft-07). */
  readonly schema: Readonly<Record<string, unknown>>
}

export type ChartValues = { readonly [name: string]: ChartValue | ChartGroup }

export interface ChartGroup {
  readonly comment?: string
  readonly group: ChartValues
}

const isGroup = (value: ChartValue | ChartGroup): value is ChartGroup => 'group' in value

function defaultsOf(values: ChartValues): Record<string, Json> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, isGroup(value) ? defaultsOf(value.group) : value.default]))
}

/** values.yaml, with the comments. */
export function valuesFile(values: ChartValues): string {
  const document = new Document(defaultsOf(values), { aliasDuplicateObjects: false, version: '1.1' })
  const comment = (node: unknown, of: ChartValues): void => {
    if (!isMap(node)) return
    for (const [index, pair] of node.items.entries()) {
      const key = pair.key
      if (!isScalar(key)) continue
      const value = of[String(key.value)]
      if (value?.comment !== undefined) key.commentBefore = ` ${value.comment.replaceAll('\n', '\n ')}`
      if (index > 0 && node === document.contents) key.spaceBefore = true
      if (value !== undefined && isGroup(value)) comment(pair.value, value.group)
    }
  }
  comment(document.contents, values)
  visit(document, {
    Scalar: (_, node) => {
      if (typeof node.value === 'string' && node.value.includes('\n')) node.type = 'BLOCK_LITERAL'
    },
  })
  return document.toString({ lineWidth: 0 })
}

function schemaOf(values: ChartValues): object {
  return {
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(
      Object.entries(values).map(([name, value]) => [
        name,
        {
          ...(isGroup(value) ? schemaOf(value.group) : value.schema),
          ...(value.comment !== undefined && { description: value.comment }),
        },
      ]),
    ),
  }
}

/** values.schema.json: what is not a value is refused. */
export function valuesSchema(values: ChartValues): string {
  const root = schemaOf({
    ...values,
    global: { default: {}, schema: { type: 'object' }, comment: 'Values of a chart that this one is part of.' },
  })
  return `${JSON.stringify({ $schema: 'http://json-schema.org/draft-07/schema#', ...root }, null, 2)}\n`
}
