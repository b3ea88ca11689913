/** What people say of how versions are judged. */
import { Type } from 'typebox'
import { oneOf } from './schema.ts'
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
