/** Names of how bad it is, from what is not known to what is worst. */
export const SEVERITIES = ['unknown', 'low', 'medium', 'high', 'critical'] as const

export type Severity = (typeof SEVERITIES)[number]

const METRICS = {
  AV: { N: 0.85, A: 0.62, L: 0.55, P: 0.2 },
  AC: { L: 0.77, H: 0.44 },
  UI: { N: 0.85, R: 0.62 },
  C: { H: 0.56, L: 0.22, N: 0 },
  I: { H: 0.56, L: 0.22, N: 0 },
  A: { H: 0.56, L: 0.22, N: 0 },
} as const
/** Privileges weigh more where the scope changes. */
const PRIVILEGES = { U: { N: 0.85, L: 0.62, H: 0.27 }, C: { N: 0.85, L: 0.68, H: 0.5 } } as const

/**
 * The base score, 0 to 10, of a vector `CVSS:3.0/...` or `CVSS:3.1/...`.
 * The formula is that of the CVSS v3.1 specification, section 7.1, rounded up as its appendix A says: https://www.first.org/cvss/v3.1/specification-document
 * @returns undefined for what is no such vector
 */
export function cvssScore(vector: string): number | undefined {
  const [, rest] = /^CVSS:3\.[01]\/(.+)$/.exec(vector) ?? []
  if (rest === undefined) return undefined
  const values = new Map(rest.split('/').map((part) => part.split(':') as [string, string | undefined]))
  const weight = (name: keyof typeof METRICS): number =>
    (METRICS[name] as Readonly<Record<string, number>>)[values.get(name) ?? ''] ?? Number.NaN
  const scope = values.get('S')
  if (scope !== 'U' && scope !== 'C') return undefined
  const privileges = (PRIVILEGES[scope] as Readonly<Record<string, number>>)[values.get('PR') ?? ''] ?? Number.NaN
  const lost = 1 - (1 - weight('C')) * (1 - weight('I')) * (1 - weight('A'))
  const impact = scope === 'U' ? 6.42 * lost : 7.52 * (lost - 0.029) - 3.25 * (lost - 0.02) ** 15
  const exploitability = 8.22 * weight('AV') * weight('AC') * privileges * weight('UI')
  if (Number.isNaN(impact + exploitability)) return undefined
  if (impact <= 0) return 0
  return roundedUp(Math.min((scope === 'U' ? 1 : 1.08) * (impact + exploitability), 10))
}

/** To one decimal, without what floating point adds. */
function roundedUp(value: number): number {
  const whole = Math.round(value * 100_000)
  return whole % 10_000 === 0 ? whole / 100_000 : (Math.floor(whole / 10_000) + 1) / 10
}

/** The name of a score (section 5, "Qualitative Severity Rating Scale"). What has no effect, 0, is low. */
export function severityOf(score: number): Severity {
  return score >= 9 ? 'critical' : score >= 7 ? 'high' : score >= 4 ? 'medium' : 'low'
}

/** A severity by the words that others have for it; undefined for none of them. */
export function severityNamed(word: unknown): Severity | undefined {
  const name = typeof word === 'string' ? word.toLowerCase() : ''
  if (name === 'moderate') return 'medium'
  if (name === 'negligible' || name === 'none' || name === 'unimportant') return 'low'
  return SEVERITIES.find((each) => each === name)
}

/** Whether one is at least as bad as another. */
export function isAtLeast(severity: Severity, other: Severity): boolean {
  return SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(other)
}
