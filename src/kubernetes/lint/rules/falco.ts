import { parse } from 'yaml'
import { at, listAt, mapAt, textAt } from '../values.ts'
import type { Manifests, Rule } from '../rule.ts'
import type { KubernetesObject } from '../../object.ts'

/** https://falco.org/docs/concepts/rules/basic-elements/ */
const READ_MORE = 'https://falco.org/docs/concepts/rules/basic-elements/'
const PRIORITIES = new Set(['EMERGENCY', 'ALERT', 'CRITICAL', 'ERROR', 'WARNING', 'NOTICE', 'INFO', 'INFORMATIONAL', 'DEBUG'])
const NEEDED = ['condition', 'desc', 'output', 'priority']

/** Entries of files with rules of Falco, which ConfigMaps bring to it. */
function* entriesOf({
  objects,
}: Manifests): Generator<{ readonly object: KubernetesObject; readonly key: string; readonly entries: readonly unknown[] }> {
  for (const object of objects.filter(({ kind }) => kind === 'ConfigMap'))
    for (const [key, text] of Object.entries(mapAt(object, 'data'))) {
      if (typeof text !== 'string' || text.length > 1 << 20 || !/^\s*- (rule|macro|list)\s*:/m.test(text)) continue
      let entries: unknown
      try {
        entries = parse(text, { maxAliasCount: 10 })
      } catch {
        continue
      }
      if (Array.isArray(entries)) yield { object, key, entries }
    }
}

export const FALCO_RULES: readonly Rule[] = [
  {
    id: 'falco-rule',
    severity: 'error',
    what: 'Rules of Falco have a condition, a description, an output and a priority.',
    why: 'Falco does not start with a file that it cannot read: one rule without an output, and nothing is watched.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const { object, key, entries } of entriesOf(manifests))
        for (const entry of entries) {
          const name = textAt(entry, 'rule')
          // What is changed about a rule of somebody else names but the change.
          if (
            name === undefined ||
            at(entry, 'override') !== undefined ||
            at(entry, 'append') === true ||
            Object.keys(mapAt(entry)).length === 2
          )
            continue
          const missing = NEEDED.filter((field) => at(entry, field) === undefined)
          const priority = textAt(entry, 'priority')
          if (missing.length > 0) yield { object, path: ['data', key], message: `rule "${name}" has no ${missing.join(', no ')}` }
          else if (priority !== undefined && !PRIORITIES.has(priority.toUpperCase()))
            yield { object, path: ['data', key], message: `rule "${name}" has the priority ${priority}, which there is not` }
        }
    },
  },
  {
    id: 'falco-scope',
    severity: 'warning',
    what: 'A rule of Falco says which containers it is for.',
    why: 'A rule without a container, image, namespace or label holds for all of the node: a shell that somebody starts on the host is an alarm of the model, and soon nobody reads them.',
    readMore: READ_MORE,
    *check(manifests) {
      for (const { object, key, entries } of entriesOf(manifests)) {
        const scoped = new Set(
          entries.flatMap((entry) => (/\b(container|k8s)\./.test(textAt(entry, 'condition') ?? '') ? (textAt(entry, 'macro') ?? []) : [])),
        )
        for (const entry of entries) {
          const [name, condition] = [textAt(entry, 'rule'), textAt(entry, 'condition')]
          if (name === undefined || condition === undefined) continue
          const words = condition.split(/[^\w.]+/)
          const isScoped =
            /\b(container|k8s)\b/.test(condition) || words.some((word) => scoped.has(word)) || listAt(entry, 'exceptions').length > 0
          if (!isScoped)
            yield {
              object,
              path: ['data', key],
              message: `rule "${name}" holds for every process of the node: add container.image.repository or k8s.ns.name`,
            }
        }
      }
    },
  },
]
