/**
 * Writes src/kubernetes/lint/field-types.ts: the fields that kinds of Kubernetes have, from its OpenAPI document.
 *
 *     scripts/node scripts/kubernetes-fields.ts "$(go mod download -json k8s.io/kubernetes@v1.34.4 | jq -r .Dir)"
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KUBERNETES_VERSION } from './kubernetes.ts'

interface Schema {
  readonly $ref?: string
  readonly type?: string
  readonly format?: string
  readonly items?: Schema
  readonly additionalProperties?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly 'x-kubernetes-group-version-kind'?: readonly { readonly group: string; readonly version: string; readonly kind: string }[]
}

/** Kinds that manifests of applications have. */
const KINDS =
  `v1/Pod v1/Service v1/ConfigMap v1/Secret v1/ServiceAccount v1/Namespace v1/PersistentVolumeClaim v1/LimitRange v1/ResourceQuota
  apps/v1/Deployment apps/v1/StatefulSet apps/v1/DaemonSet apps/v1/ReplicaSet batch/v1/Job batch/v1/CronJob
  autoscaling/v1/HorizontalPodAutoscaler autoscaling/v2/HorizontalPodAutoscaler policy/v1/PodDisruptionBudget
  networking.k8s.io/v1/Ingress networking.k8s.io/v1/NetworkPolicy scheduling.k8s.io/v1/PriorityClass
  rbac.authorization.k8s.io/v1/Role rbac.authorization.k8s.io/v1/RoleBinding rbac.authorization.k8s.io/v1/ClusterRole
  rbac.authorization.k8s.io/v1/ClusterRoleBinding apiregistration.k8s.io/v1/APIService`.split(/\s+/)

const [, , folder] = process.argv
if (folder === undefined) throw new Error('give the folder of the module k8s.io/kubernetes')
const path = join(folder, 'api/openapi-spec/swagger.json')
const { definitions } = JSON.parse(readFileSync(path, 'utf8')) as { definitions: Readonly<Record<string, Schema>> }

const FREE = new Set(['RawExtension', 'FieldsV1', 'JSON'])
const names = new Map<string, string>()

/** Last word of a name, with the words before it where two would have the same. */
function nameOf(reference: string): string {
  const full = reference.replace('#/definitions/', '')
  const known = names.get(full)
  if (known !== undefined) return known
  const words = full.split('.')
  let count = 1
  const taken = new Set(names.values())
  while (taken.has(words.slice(-count).join('.'))) count++
  const name = words.slice(-count).join('.')
  names.set(full, name)
  return name
}

function typeOf(schema: Schema): string {
  const { $ref, type, format, items, additionalProperties } = schema
  if ($ref !== undefined) {
    const to = definitions[$ref.replace('#/definitions/', '')]!
    if (to.format === 'int-or-string' || $ref.endsWith('.Quantity')) return 'number|string'
    if (to.properties !== undefined) return nameOf($ref)
    return FREE.has($ref.split('.').at(-1)!) || to.type === undefined || to.type === 'object' ? 'any' : to.type
  }
  if (type === 'array') return `[${typeOf(items!)}`
  if (type === 'object') return additionalProperties === undefined ? 'any' : `{${typeOf(additionalProperties)}`
  return format === 'int-or-string' ? 'number|string' : (type ?? 'any')
}

const roots: Record<string, string> = {}
for (const [full, schema] of Object.entries(definitions))
  for (const { group, version, kind } of schema['x-kubernetes-group-version-kind'] ?? []) {
    const key = `${group === '' ? '' : `${group}/`}${version}/${kind}`
    if (KINDS.includes(key)) roots[key] = nameOf(full)
  }
const lines: string[] = []
// The map grows while it is walked: what a type has comes after it.
for (const [full, name] of names) {
  const fields = Object.entries(definitions[full]!.properties ?? {}).map(([field, schema]) => {
    const isStatus = field === 'status' && full in definitions && definitions[full]!['x-kubernetes-group-version-kind'] !== undefined
    return `${field}:${isStatus ? 'any' : typeOf(schema)}`
  })
  lines.push(`  ${/^\w+$/.test(name) ? name : `'${name}'`}: '${fields.join(' ')}',`)
}
writeFileSync(
  new URL('../src/kubernetes/lint/field-types.ts', import.meta.url).pathname,
  `/** Written by scripts/kubernetes-fields.ts from the OpenAPI document of Kubernetes 1.${KUBERNETES_VERSION}. Do not edit. */

/** Name of the type of each kind that is known. */
export const KIND_TYPES: Readonly<Record<string, string>> = {
${Object.entries(roots)
  .map(([key, name]) => `  '${key}': '${name}',`)
  .join('\n')}
}

/** Fields of each type, as NAME:TYPE: \`[\` before a type is a list, \`{\` a map of it. */
export const FIELD_TYPES: Readonly<Record<string, string>> = {
${lines.join('\n')}
}
`,
)
