import { compareDebian } from './debian-version.ts'
import { cvssScore, severityNamed, severityOf } from './cvss.ts'
import { compareSemver, isSemver } from './semver.ts'
import type { Severity } from './cvss.ts'

/** An advisory as the OSV format has it, as far as it is read: https://ossf.github.io/osv-schema/ */
export interface Advisory {
  readonly id: string
  readonly modified?: string
  readonly withdrawn?: string
  readonly aliases?: readonly string[]
  /** What it is made of, such as the CVEs of an advisory of a distribution. */
  readonly upstream?: readonly string[]
  readonly summary?: string
  readonly details?: string
  readonly severity?: readonly OsvSeverity[]
  readonly affected?: readonly Affected[]
  readonly database_specific?: { readonly severity?: unknown }
}

interface OsvSeverity {
  readonly type?: string
  readonly score?: string
}

export interface Affected {
  readonly package?: { readonly ecosystem?: string; readonly name?: string }
  readonly ranges?: readonly OsvRange[]
  readonly versions?: readonly string[]
  readonly severity?: readonly OsvSeverity[]
  readonly ecosystem_specific?: { readonly urgency?: unknown; readonly severity?: unknown }
  readonly database_specific?: { readonly severity?: unknown }
}

interface OsvRange {
  readonly type?: string
  readonly events?: readonly OsvEvent[]
}

interface OsvEvent {
  readonly introduced?: string
  readonly fixed?: string
  readonly last_affected?: string
  readonly limit?: string
}

/** Versions of an ecosystem: how they are ordered, and what none of them is. */
interface Order {
  readonly compare: (a: string, b: string) => number
  readonly isVersion: (text: string) => boolean
}

const ORDERS: Readonly<Record<string, Order>> = {
  npm: { compare: compareSemver, isVersion: isSemver },
  Debian: { compare: compareDebian, isVersion: (text) => /^(?:\d+:)?\d/.test(text) },
}

/** Whether an advisory is about a version, by the evaluation that the format describes ("Evaluation"). */
export function isAffected(affected: Affected, ecosystem: 'npm' | 'Debian', version: string): boolean {
  if (affected.versions?.includes(version) === true) return true
  const order = ORDERS[ecosystem]!
  if (!order.isVersion(version)) return false
  return (affected.ranges ?? []).some(
    ({ type, events = [] }) => (type === 'SEMVER' || type === 'ECOSYSTEM') && isInRange(events, version, order),
  )
}

function isInRange(events: readonly OsvEvent[], version: string, order: Order): boolean {
  const atLeast = (other: string): boolean => other === '0' || (order.isVersion(other) && order.compare(version, other) >= 0)
  const limits = events.flatMap(({ limit }) => (limit === undefined ? [] : [limit]))
  if (limits.length > 0 && limits.every((limit) => limit !== '*' && atLeast(limit))) return false
  let isVulnerable = false
  for (const { introduced, fixed, last_affected: last } of sorted(events, order)) {
    if (introduced !== undefined && atLeast(introduced)) isVulnerable = true
    else if (fixed !== undefined && atLeast(fixed)) isVulnerable = false
    else if (last !== undefined && atLeast(last) && order.compare(version, last) > 0) isVulnerable = false
  }
  return isVulnerable
}

/** By their versions; of one version a fix ends what was before, and what is introduced begins after it. */
function sorted(events: readonly OsvEvent[], { compare, isVersion }: Order): OsvEvent[] {
  const versionOf = ({ introduced, fixed, last_affected: last }: OsvEvent): string => introduced ?? fixed ?? last ?? ''
  const rank = ({ fixed, introduced }: OsvEvent): number => (fixed !== undefined ? 0 : introduced !== undefined ? 1 : 2)
  const usable = events.filter((event) => versionOf(event) === '0' || isVersion(versionOf(event)))
  return usable.toSorted((a, b) => {
    const [one, other] = [versionOf(a), versionOf(b)]
    const order = one === other ? 0 : one === '0' ? -1 : other === '0' ? 1 : compare(one, other)
    return order === 0 ? rank(a) - rank(b) : order
  })
}

/** The lowest version after this one in which it is fixed; undefined where there is none. */
export function fixedIn({ ranges = [] }: Affected, ecosystem: 'npm' | 'Debian', version: string): string | undefined {
  const { compare, isVersion } = ORDERS[ecosystem]!
  const fixes = ranges.flatMap(({ events = [] }) => events.flatMap(({ fixed }) => (fixed !== undefined && isVersion(fixed) ? [fixed] : [])))
  return fixes.filter((fix) => !isVersion(version) || compare(fix, version) > 0).toSorted(compare)[0]
}

/**
 * How bad it is: by a vector of CVSS 3, else by the word that the database has for it. Packages that were made to do harm are critical.
 * CVSS 4 is not computed: databases that have such vectors have a word, too.
 */
export function advisorySeverity(advisory: Advisory, affected: Affected): Severity {
  if (advisory.id.startsWith('MAL-')) return 'critical'
  const scores = [...(affected.severity ?? []), ...(advisory.severity ?? [])].flatMap(({ type, score }) => {
    const found = type === 'CVSS_V3' && typeof score === 'string' ? cvssScore(score) : undefined
    return found === undefined ? [] : [found]
  })
  if (scores.length > 0) return severityOf(Math.max(...scores))
  const words = [
    advisory.database_specific?.severity,
    affected.database_specific?.severity,
    affected.ecosystem_specific?.severity,
    affected.ecosystem_specific?.urgency,
  ]
  return words.map(severityNamed).find((severity) => severity !== undefined) ?? 'unknown'
}
