import { fieldWords, sameForAll, typeName, typesOf } from './words.ts'
import type { ModelShape, Shape } from './model-shape.ts'

/** A module with the types of a model and a function that makes its client. */
export function typescriptClient({ name, description, row, answer }: ModelShape): string {
  const type = typeName(name)
  const local = `${type[0]!.toLowerCase()}${type.slice(1)}Model`
  return `/** The model ${inComment(name)}. Written by \`slipway client generate\`: written again it is the same while the model takes and gives the same. */
import type { Client, Model, ModelOptions } from 'slipway/client'

${comment(description, '')}${declaration(`${type}Row`, row)}

${declaration(`${type}Answer`, answer)}

/** The model on a server that calls it ${inComment(JSON.stringify(name))}. */
export function ${local}(client: Client, options: ModelOptions<${type}Row, ${type}Answer> = {}): Model<${type}Row, ${type}Answer> {
  return client.model(${quoted(name)}, options)
}
`
}

function declaration(name: string, shape: Shape): string {
  return shape.properties === undefined ? `export type ${name} = ${typeOf(shape)}` : `export interface ${name} ${fields(shape, '')}`
}

function fields({ properties = {}, required = [] }: Shape, indent: string): string {
  const lines = Object.entries(properties).map(([name, shape]) => {
    const key = /^[A-Za-z_$][\w$]*$/.test(name) ? name : quoted(name)
    const optional = required.includes(name) ? '' : '?'
    return `${comment(fieldWords(shape), `${indent}  `)}${indent}  readonly ${key}${optional}: ${typeOf(shape, `${indent}  `)}`
  })
  return lines.length === 0 ? 'Readonly<Record<string, never>>' : `{\n${lines.join('\n')}\n${indent}}`
}

const NAMES: Readonly<Record<string, string>> = { string: 'string', number: 'number', boolean: 'boolean', null: 'null' }

function typeOf(shape: Shape, indent = ''): string {
  if (shape.enum !== undefined) return union(shape.enum.map((value) => (typeof value === 'string' ? quoted(value) : String(value))))
  if (shape.anyOf !== undefined) return union(shape.anyOf.map((one) => typeOf(one, indent)))
  const types = typesOf(shape)
  return types.length === 0 ? 'unknown' : union(types.map((type) => plainType(type, shape, indent)))
}

function plainType(type: string, shape: Shape, indent: string): string {
  if (type === 'array') {
    const item = shape.items === undefined ? 'unknown' : typeOf(shape.items, indent)
    return item.includes(' | ') && !item.startsWith('{')
      ? `readonly (${item})[]`
      : item.startsWith('readonly ')
        ? `readonly (${item})[]`
        : `readonly ${item}[]`
  }
  if (type === 'object') return tableOf(shape, indent)
  // Of 64 bits: those that a number cannot hold are bigints.
  if (type === 'integer') return shape.format === undefined ? 'number' : 'number | bigint'
  return NAMES[type] ?? 'unknown'
}

function tableOf(shape: Shape, indent: string): string {
  const { properties, required = [], additionalProperties } = shape
  const same = sameForAll(shape)
  if (properties === undefined) {
    const value = typeof additionalProperties === 'object' ? typeOf(additionalProperties, indent) : 'unknown'
    return `Readonly<Record<string, ${value}>>`
  }
  if (same === undefined) return fields(shape, indent)
  const table = `Record<${union(Object.keys(properties).map(quoted))}, ${typeOf(same, indent)}>`
  return required.length === 0 ? `Readonly<Partial<${table}>>` : `Readonly<${table}>`
}

function union(types: readonly string[]): string {
  return [...new Set(types)].join(' | ')
}

/** A text as a literal. */
function quoted(text: string): string {
  const inner = JSON.stringify(text)
    .slice(1, -1)
    .replaceAll(String.raw`\"`, '"')
    .replaceAll("'", String.raw`\'`)
  return `'${inner.replaceAll('\u2028', String.raw`\u2028`).replaceAll('\u2029', String.raw`\u2029`)}'`
}

function inComment(text: string): string {
  return text.replaceAll('*/', '* /').replaceAll(/\s+/g, ' ')
}

function comment(text: string | undefined, indent: string): string {
  return text === undefined ? '' : `${indent}/** ${inComment(text)} */\n`
}
