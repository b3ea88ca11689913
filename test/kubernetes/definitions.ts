/** CustomResourceDefinitions as their projects release them: objects are held against their schemas, unknown fields included. */
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { kubernetesCrds } from '../../scripts/kubernetes-crds.ts'
import type { KubernetesObject } from '../../src/kubernetes/object.ts'

interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: boolean | Schema
  readonly items?: Schema
  readonly required?: readonly string[]
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly maxItems?: number
  readonly maxLength?: number
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean
  readonly 'x-kubernetes-int-or-string'?: boolean
}

interface Definition {
  readonly spec: {
    readonly group: string
    readonly names: { readonly kind: string }
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[]
  }
}

const files = await Promise.all((await kubernetesCrds()).map((path) => readFile(path, 'utf8')))
/** Flagger's are indented as Go's reader takes it and the specification of YAML does not: texts in quotes come on one line. */
const texts = files.flatMap((text) =>
  text.split(/^---\n/m).map((one) => one.replaceAll(/description: '[^'\n]*\n[^']*'/g, (quoted) => quoted.replaceAll(/\n\s+/g, ' '))),
)
const read = new Map<string, Schema>()

function schemaFor({ apiVersion, kind }: KubernetesObject): Schema {
  const key = `${apiVersion}/${kind}`
  const known = read.get(key)
  if (known !== undefined) return known
  const [group, version] = apiVersion.split('/')
  // Only the one that is wanted is parsed: they are large.
  for (const text of texts.filter((one) => one.includes(`  group: ${group!}\n`) && new RegExp(`^    kind: ${kind}$`, 'm').test(one))) {
    const schema = (parse(text) as Definition).spec.versions.find(({ name }) => name === version)?.schema.openAPIV3Schema
    if (schema !== undefined) {
      read.set(key, schema)
      return schema
    }
  }
  throw new Error(`no definition of ${key}`)
}

/** What of an object its definition does not have, one text each. */
export function offences(object: KubernetesObject): string[] {
  const { metadata: _, apiVersion: _1, kind: _2, ...rest } = object
  const { properties = {}, ...schema } = schemaFor(object)
  return check(
    rest,
    { ...schema, properties, required: (schema.required ?? []).filter((name) => !['metadata', 'apiVersion', 'kind'].includes(name)) },
    '',
  )
}

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  number: (value) => typeof value === 'number',
  integer: Number.isInteger,
}

function check(value: unknown, schema: Schema, path: string): string[] {
  if (value === undefined) return []
  const { type, properties, additionalProperties, items, required = [] } = schema
  if (schema['x-kubernetes-int-or-string'] === true)
    return typeof value === 'string' || Number.isInteger(value) ? [] : [`${path}: neither a whole number nor a text`]
  if (type !== undefined && TYPES[type]?.(value) === false) return [`${path}: is no ${type}`]
  const found: string[] = []
  if (schema.enum !== undefined && !schema.enum.includes(value))
    found.push(`${path}: ${String(value)} is none of ${schema.enum.join(', ')}`)
  if (typeof value === 'string') {
    if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value)) found.push(`${path}: "${value}" is not ${schema.pattern}`)
    if (value.length > (schema.maxLength ?? Infinity)) found.push(`${path}: too long`)
  }
  if (typeof value === 'number' && (value < (schema.minimum ?? -Infinity) || value > (schema.maximum ?? Infinity)))
    found.push(`${path}: ${value} is outside`)
  if (Array.isArray(value)) {
    if (value.length > (schema.maxItems ?? Infinity)) found.push(`${path}: too many`)
    return [...found, ...value.flatMap((one: unknown, index) => check(one, items ?? {}, `${path}[${index}]`))]
  }
  if (typeof value !== 'object' || value === null) return found
  found.push(...required.filter((name) => !(name in value)).map((name) => `${path}.${name}: missing`))
  for (const [name, part] of Object.entries(value)) {
    const own = properties?.[name] ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined)
    if (own !== undefined) found.push(...check(part, own, `${path}.${name}`))
    else if (schema['x-kubernetes-preserve-unknown-fields'] !== true && (properties !== undefined || type === 'object'))
      found.push(`${path}.${name}: unknown`)
  }
  return found
}
