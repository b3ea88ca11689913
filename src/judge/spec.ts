import type { JudgeOptions, ROLES } from '../contract/judge-options.ts'

export interface MetricRule {
  readonly metric: string
  readonly role: (typeof ROLES)[number]
  readonly tolerate: number
  readonly ruleOut: number
  /** Undefined: none. */
  readonly cap: number | undefined
  /** Undefined: none. */
  readonly limit: number | undefined
  readonly clusters: 'auto' | 'never' | 'always'
  /** The part of the false alarms that is this metric's. */
  readonly alphaFail: number
  readonly alphaPass: number
}

export interface JudgeRules {
  readonly minimumSample: number
  readonly metrics: readonly MetricRule[]
}

const DEFAULTS = { falseAlarm: 0.05, falsePass: 0.05, minimumSample: 100, cap: 0.01 } as const

/**
 * False alarms are shared out among the guardrails, as each of them alone can turn a rollout back. False passes are not: a version passes
 * only where all guardrails do, so that the one that is bad has to (intersection-union).
 */
export function resolveJudge({
  falseAlarm = DEFAULTS.falseAlarm,
  falsePass = DEFAULTS.falsePass,
  minimumSample = DEFAULTS.minimumSample,
  metrics,
}: JudgeOptions): JudgeRules {
  const entries = Object.entries(metrics)
  const guardrails = entries.filter(([, { role = 'guardrail' }]) => role === 'guardrail').length
  return {
    minimumSample,
    metrics: entries.map(
      ([metric, { role = 'guardrail', tolerate = 1, ruleOut = 2 * tolerate, cap = DEFAULTS.cap, limit, clusters = 'auto' }]) => ({
        metric,
        role,
        tolerate,
        ruleOut,
        cap: cap === false ? undefined : cap,
        limit,
        clusters,
        // The others raise nothing that is counted together.
        alphaFail: role === 'guardrail' ? falseAlarm / guardrails : falseAlarm,
        alphaPass: falsePass,
      }),
    ),
  }
}

/** What the schema cannot say. @returns what is wrong, or undefined */
export function whyNoJudge({ metrics }: JudgeOptions): string | undefined {
  for (const [metric, { tolerate = 1, ruleOut = 2 * tolerate }] of Object.entries(metrics))
    if (ruleOut <= tolerate)
      return `metrics.${metric}.ruleOut must be more than tolerate, which is ${tolerate}: between the two is what may be`
  return undefined
}
