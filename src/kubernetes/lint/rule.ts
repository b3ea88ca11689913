import type { KubernetesObject } from '../object.ts'
import type { PodTemplate } from './pod-templates.ts'
import type { Path } from './values.ts'

/** How bad it is: `error` cannot work, `warning` works until something happens, `advice` may be meant. */
export const SEVERITIES = ['error', 'warning', 'advice'] as const
export type Severity = (typeof SEVERITIES)[number]

/** What is linted together. What a rule says of one object may hang on the others. */
export interface Manifests {
  readonly objects: readonly KubernetesObject[]
  /** Pods, and the templates of pods of objects that make some. */
  readonly pods: readonly PodTemplate[]
}

/** A place at which a rule is broken. */
export interface Break {
  readonly object: KubernetesObject
  /** Of the field in the object; where there is none, of what should have it. */
  readonly path: Path
  /** One sentence: what is there, and what would be right. */
  readonly message: string
}

export interface Rule {
  /** Kebab-case. It never changes: ignoring goes by it. */
  readonly id: string
  readonly severity: Severity
  /** What holds where it is kept. */
  readonly what: string
  /** What happens where it is broken. */
  readonly why: string
  readonly readMore: string
  check(manifests: Manifests): Iterable<Break>
}
