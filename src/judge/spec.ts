import { Type } from 'typebox'
import { oneOf } from '../contract/schema.ts'
import type { Static } from 'typebox'

/** What a metric may do: hold a rollout up and turn it back, tell people, or stand in the report. */
export const ROLES = ['guardrail', 'warn', 'info'] as const

const Probability = (description: string) => Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 0.5, description })

export const MetricOptions = Type.Object(
  {
    role: Type.Optional(oneOf(ROLES, { description: 'What comes of it. Default: guardrail.' })),
    tolerate: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 100,
        description: 'How many times as often as before it may go wrong. More is a failure. Default: 1.',
      }),
    ),
    ruleOut: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 100,
        description: 'How many times as often must be ruled out before it passes; more than `tolerate`. Default: twice `tolerate`.',
      }),
    ),
    cap: Type.Optional(
      Type.Union([Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }), Type.Literal(false)], {
        description:
          'Share of requests that may go wrong however seldom it was before: below it, it passes too. Default: 0.01; false: none.',
      }),
    ),
    limit: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        exclusiveMaximum: 1,
        description: "Share of the candidate's requests that may go wrong at most, however bad the base is. Default: none.",
      }),
    ),
    clusters: Type.Optional(
      oneOf(['auto', 'never', 'always'], {
        description:
          'Whether failures of one arm come in bursts, so that time and not a failure is the sample. Default: auto, where they are seen to.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type MetricOptions = Static<typeof MetricOptions>

export const JudgeOptions = Type.Object(
  {
    falseAlarm: Type.Optional(
      Probability('Probability that a version which is no worse fails at any time, by any guardrail. Default: 0.05.'),
    ),
    falsePass: Type.Optional(
      Probability('Probability that a version which is as bad as `ruleOut` says passes at any time. Default: 0.05.'),
    ),
    minimumSample: Type.Optional(Type.Integer({ minimum: 0, description: 'Requests of the candidate before it may pass. Default: 100.' })),
    metrics: Type.Record(Type.String({ minLength: 1, maxLength: 100 }), MetricOptions, { minProperties: 1 }),
  },
  { additionalProperties: false },
)
export type JudgeOptions = Static<typeof JudgeOptions>

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
