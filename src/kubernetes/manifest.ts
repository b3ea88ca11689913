import { stringify } from 'yaml'
import { keyOf } from './object.ts'
import type { KubernetesObject } from './object.ts'

/** Objects as a file of YAML, as kubectl reads it. */
export function manifestOf(objects: readonly KubernetesObject[]): string {
  return objects.map(yamlOf).join('---\n')
}

/** One object. Texts that YAML's older readers take for something else are in quotes. */
export function yamlOf(object: object): string {
  return stringify(object, { aliasDuplicateObjects: false, lineWidth: 0, version: '1.1' })
}

/** Names for a file each, in the order of application: `03-service-churn.yaml`. */
export function manifestFiles(objects: readonly KubernetesObject[]): ReadonlyMap<string, string> {
  const digits = Math.max(2, String(objects.length).length)
  const files = new Map<string, string>()
  for (const [index, object] of objects.entries()) {
    const [, kind = '', , name = ''] = keyOf(object).toLowerCase().split('/')
    files.set(`${String(index + 1).padStart(digits, '0')}-${kind}-${name}.yaml`, yamlOf(object))
  }
  return files
}
