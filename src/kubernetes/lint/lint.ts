/** What is wrong with manifests, ours and those of others, and why. Asks no cluster. */
import { podTemplateOf } from './pod-templates.ts'
import { RULES } from './rules.ts'
import { textAt } from './values.ts'
import type { KubernetesObject } from '../object.ts'
import type { Manifests, Rule, Severity } from './rule.ts'
import type { Path } from './values.ts'

/** Annotation of an object, or of its pods: `RULE, RULE: why they do not hold here`. */
export const IGNORE_ANNOTATION = 'slipway.dev/lint-ignore'

/** A place at which a rule is broken. */
export interface Finding {
  readonly rule: string
  readonly severity: Severity
  readonly object: KubernetesObject
  readonly path: Path
  readonly message: string
}

export interface LintResult {
  /** In the order of objects, and in each of the table of rules. */
  readonly findings: readonly Finding[]
  /** What an annotation sets aside, and the reason that it gives. */
  readonly ignored: readonly (Finding & { readonly reason: string })[]
}

interface Ignoring {
  readonly rules: readonly string[]
  readonly reason: string
}

function ignoringOf(object: KubernetesObject): Ignoring {
  const pod = podTemplateOf(object)
  const said =
    textAt(object, 'metadata', 'annotations', IGNORE_ANNOTATION) ??
    (pod === undefined ? undefined : textAt(pod.annotations, IGNORE_ANNOTATION))
  if (said === undefined) return { rules: [], reason: '' }
  const end = said.indexOf(':')
  const rules = (end === -1 ? said : said.slice(0, end)).split(',').map((rule) => rule.trim())
  return { rules: rules.filter((rule) => rule !== ''), reason: end === -1 ? '' : said.slice(end + 1).trim() }
}

/** Holds for annotations of ours, which are no manifest of Kubernetes'. */
const IGNORING_RULE: Rule = {
  id: 'ignored-why',
  severity: 'warning',
  what: `Whoever sets a rule aside names one that there is, and says why: \`${IGNORE_ANNOTATION}: "RULE, RULE: reason"\`.`,
  why: 'Without a reason nobody later dares to take it away, and a misspelled rule sets nothing aside.',
  readMore: 'https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/',
  *check({ objects }) {
    for (const object of objects) {
      const { rules, reason } = ignoringOf(object)
      const unknown = rules.filter((rule) => !LINT_RULES.some(({ id }) => id === rule))
      const path = ['metadata', 'annotations', IGNORE_ANNOTATION]
      if (unknown.length > 0) yield { object, path, message: `there is no rule ${unknown.join(', ')}` }
      if (rules.length > 0 && reason === '')
        yield { object, path, message: `${rules.join(', ')} is set aside without a reason: add one after a colon` }
    }
  },
}

/** Every rule, by its id. */
export const LINT_RULES: readonly Rule[] = [...RULES, IGNORING_RULE]

/**
 * Checks manifests by every rule. Objects of one application belong together: some rules hold between them, and say nothing of what is not
 * among them.
 * @param ignore ids of rules that are left out. Default: none
 */
export function lint(objects: readonly KubernetesObject[], ignore: readonly string[] = []): LintResult {
  const manifests: Manifests = { objects, pods: objects.flatMap((object) => podTemplateOf(object) ?? []) }
  const found: Finding[] = []
  for (const rule of LINT_RULES)
    if (!ignore.includes(rule.id)) for (const one of rule.check(manifests)) found.push({ rule: rule.id, severity: rule.severity, ...one })
  const order = new Map(objects.map((object, index) => [object, index]))
  const sorted = found.toSorted((a, b) => order.get(a.object)! - order.get(b.object)!)
  const ignoring = new Map(objects.map((object) => [object, ignoringOf(object)]))
  const isIgnored = ({ object, rule }: Finding): boolean => rule !== IGNORING_RULE.id && ignoring.get(object)!.rules.includes(rule)
  return {
    findings: sorted.filter((one) => !isIgnored(one)),
    ignored: sorted.filter(isIgnored).map((one) => ({ ...one, reason: ignoring.get(one.object)!.reason })),
  }
}
