import { fieldWords, sameForAll, typeName, typesOf } from './words.ts'
import type { ModelShape, Shape } from './model-shape.ts'

/** A module with the types of a model and a function that makes its client. */
export function pythonClient({ name, description, row, answer }: ModelShape): string {
  const type = typeName(name)
  const called = `${name
    .replaceAll(/[^A-Za-z0-9]+/g, '_')
    .replaceAll(/^_+|_+$/g, '')
    .toLowerCase()}_model`
  const module: Module = { classes: [], lists: 'Sequence' }
  const rowType = `${type}Row`
  const answerType = `${type}Answer`
  declare(module, { name: rowType, shape: row, words: description })
  declare({ ...module, lists: 'List' }, { name: answerType, shape: answer, words: undefined })
  const local = /^\d/.test(called) ? `model_${called}` : called
  const body = `${module.classes.join('\n\n\n')}


def ${local}(
    client: Client,
    *,
    version: Optional[str] = None,
    fallback: Union[${answerType}, Callable[[SlipwayClientError, ${rowType}], ${answerType}], None] = None,
) -> Model[${rowType}, ${answerType}]:
    """The model on a server that calls it ${inText(JSON.stringify(name))}."""
    return client.model(${literal(name)}, version=version, fallback=fallback)
`
  const used = TYPING.filter((word) => new RegExp(`\\b${word}\\b`).test(body))
  return `"""The model ${inText(name)}. Written by \`slipway client generate\`: written again it is the same while the model takes and gives the same."""

from __future__ import annotations

from typing import ${used.join(', ')}

from slipway_client import Client, Model, SlipwayClientError


${body}

__all__ = ["${rowType}", "${answerType}", "${local}"]
`
}

const TYPING = ['Any', 'Callable', 'Dict', 'List', 'Literal', 'Mapping', 'Optional', 'Sequence', 'TypedDict', 'Union'] as const

interface Module {
  readonly classes: string[]
  /** How lists are called: what is given may be any sequence, what is got is a list. */
  readonly lists: 'Sequence' | 'List'
}

interface Declared {
  readonly name: string
  readonly shape: Shape
  readonly words: string | undefined
}

const KEYWORDS = new Set(
  'False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield'.split(
    ' ',
  ),
)

const isName = (text: string): boolean => /^[A-Za-z_]\w*$/.test(text) && !KEYWORDS.has(text) && !text.startsWith('__')

function declare(module: Module, { name, shape, words }: Declared): void {
  const { properties, required = [] } = shape
  if (properties === undefined) {
    module.classes.push(`${name} = ${typeOf(module, shape, name)}`)
    return
  }
  const fields = Object.entries(properties).map(([field, one]) => ({
    field,
    type: typeOf(module, one, `${name}${typeName(field)}`),
    words: fieldWords(one),
    required: required.includes(field),
  }))
  const needed = fields.filter((one) => one.required)
  const optional = fields.filter((one) => !one.required)
  const docs = words === undefined ? '' : `    """${inText(words)}"""\n\n`
  // Fields that may be missing need a class of their own before Python 3.11.
  const base = needed.length > 0 && optional.length > 0 ? `_${name}Needed` : undefined
  if (base !== undefined) module.classes.push(classOf(base, needed, { parent: 'TypedDict', docs: '', total: true }))
  const own = base === undefined ? fields : optional
  module.classes.push(classOf(name, own, { parent: base ?? 'TypedDict', docs, total: optional.length === 0 }))
}

interface Field {
  readonly field: string
  readonly type: string
  readonly words: string | undefined
}

function classOf(
  name: string,
  fields: readonly Field[],
  { parent, docs, total }: { readonly parent: string; readonly docs: string; readonly total: boolean },
): string {
  const more = total ? '' : ', total=False'
  if (fields.every(({ field }) => isName(field))) {
    const lines = fields.map(
      ({ field, type, words }) => `    ${field}: ${type}\n${words === undefined ? '' : `    """${inText(words)}"""\n`}`,
    )
    return `class ${name}(${parent}${more}):\n${docs}${lines.length === 0 ? '    pass\n' : lines.join('')}`.trimEnd()
  }
  // Keys that are no names need the form of a call, which takes no parent.
  const entries = fields.map(({ field, type }) => `        ${literal(field)}: ${type},\n`).join('')
  const call = `TypedDict(\n    "${parent === 'TypedDict' ? name : `_${name}Optional`}",\n    {\n${entries}    },\n${total ? '' : '    total=False,\n'})`
  if (parent === 'TypedDict') return `${name} = ${call}`
  return `_${name}Optional = ${call}\n\n\nclass ${name}(${parent}, _${name}Optional):\n${docs === '' ? '    pass' : docs.trimEnd()}`
}

const NAMES: Readonly<Record<string, string>> = { string: 'str', number: 'float', integer: 'int', boolean: 'bool', null: 'None' }

function typeOf(module: Module, shape: Shape, name: string): string {
  if (shape.enum !== undefined) return literals(shape.enum)
  if (shape.anyOf !== undefined) return union(shape.anyOf.map((one) => typeOf(module, one, name)))
  const types = typesOf(shape)
  return types.length === 0 ? 'Any' : union(types.map((type) => plainType(module, type, { shape, name })))
}

function plainType(module: Module, type: string, { shape, name }: { readonly shape: Shape; readonly name: string }): string {
  if (type === 'array') return `${module.lists}[${shape.items === undefined ? 'Any' : typeOf(module, shape.items, name)}]`
  if (type !== 'object') return NAMES[type] ?? 'Any'
  const { properties, additionalProperties } = shape
  if (properties === undefined)
    return `Mapping[str, ${typeof additionalProperties === 'object' ? typeOf(module, additionalProperties, name) : 'Any'}]`
  const same = sameForAll(shape)
  if (same !== undefined) return `Dict[${literals(Object.keys(properties))}, ${typeOf(module, same, name)}]`
  declare(module, { name, shape, words: undefined })
  return name
}

/** One of some values. There are no literals of numbers with a fraction. */
function literals(values: readonly (string | number | boolean)[]): string {
  const isFraction = (value: unknown): boolean => typeof value === 'number' && !Number.isInteger(value)
  const whole = values.filter((value) => !isFraction(value))
  const listed = whole.map((value) =>
    value === true ? 'True' : value === false ? 'False' : typeof value === 'string' ? literal(value) : String(value),
  )
  const types = listed.length === 0 ? [] : [`Literal[${listed.join(', ')}]`]
  return union(whole.length === values.length ? types : [...types, 'float'])
}

function union(types: readonly string[]): string {
  const rest = [...new Set(types)].filter((type) => type !== 'None')
  const joined = rest.length === 1 ? rest[0]! : `Union[${rest.join(', ')}]`
  return types.includes('None') ? (rest.length === 0 ? 'None' : `Optional[${joined}]`) : joined
}

/** A text as a literal; escapes of JSON are those of Python. */
function literal(text: string): string {
  return JSON.stringify(text)
}

function inText(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', "'").replaceAll(/\s+/g, ' ')
}
