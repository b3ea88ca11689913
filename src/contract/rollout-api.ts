/** Requests and answers of `/api/v1` on rollouts. Times are UTC epoch milliseconds. */
import { Type } from 'typebox'
import { ComparisonAnswer, VERDICTS } from './comparison.ts'
import { Rollout, STRATEGIES } from './rollout.ts'
import { oneOf, Time } from './schema.ts'
import type { Static } from 'typebox'

const Optional = Type.Optional
const closed = { additionalProperties: false } as const

/** States from which nothing follows. */
export const ENDS = ['promoted', 'rolled back', 'aborted', 'superseded'] as const
export const STATES = ['waiting', 'loading', 'progressing', 'paused', 'baking', 'watching', ...ENDS] as const
export const PAUSES = ['person', 'no data', 'deadline', 'approval', 'alias'] as const

const OfModel = Type.Object({ revision: Type.Integer(), model: Type.String(), version: Type.String() })

const Outputs = Type.Object({
  verdict: oneOf(VERDICTS),
  base: Type.Integer({ description: 'Answers that were counted.' }),
  candidate: Type.Integer(),
  low: Type.Number({ description: 'Total variation distance of the classes at least, 0 to 1.' }),
  observed: Type.Number(),
  high: Type.Number(),
  change: Type.Number({ description: 'More than this fails.' }),
  sentence: Type.String(),
})

const AskedCheck = Type.Object({
  name: Type.String(),
  askedAt: Time('When it was asked.'),
  role: oneOf(['guardrail', 'warn', 'info']),
  verdict: oneOf(['pass', 'fail', 'no data', 'error']),
  value: Optional(Type.Number()),
  sentence: Type.String(),
  query: Type.String({ description: 'As it was asked.' }),
})

const TrafficOfVersion = Type.Object({
  version: Type.String(),
  requests: Type.Integer(),
  errors: Type.Integer({ description: 'Answers with a status of 500 or more.' }),
  p50Ms: Optional(Type.Number()),
  p99Ms: Optional(Type.Number()),
})

/** What a look at a rollout saw. */
export const RolloutEvidence = Type.Object({
  at: Time('When it was looked at.'),
  from: Time('Since when evidence counts.'),
  verdict: oneOf(VERDICTS),
  failures: Type.Array(Type.String(), { description: 'Why the verdict is to fail.' }),
  sample: Type.Integer({ description: 'Requests of the new version in the present step.' }),
  traffic: Optional(
    Type.Array(TrafficOfVersion, {
      description: 'All requests of both versions in the present step, also those that chance did not assign. Missing: not worked out.',
    }),
  ),
  newest: Optional(Time('End of the newest window.')),
  metrics: ComparisonAnswer.properties.metrics,
  outputs: Optional(Outputs),
  shadow: Optional(ComparisonAnswer.properties.shadow),
  checks: Type.Array(AskedCheck),
  servers: Type.Object({
    live: Type.Integer({ description: 'Servers that were heard of in time.' }),
    ready: Type.Integer({ description: 'Those that have the new version loaded.' }),
    failed: Optional(Type.String({ description: 'Why one of them cannot load it.' })),
    failing: Optional(Type.Integer({ description: 'How many cannot.' })),
    tripped: Optional(Type.String()),
  }),
  segments: Type.Array(
    Type.Object({
      segment: Type.Integer(),
      share: Type.Number({ description: 'Of the new version among both, 0 to 1.' }),
      metric: Type.String(),
      arm: oneOf(['base', 'candidate']),
      events: Type.Integer(),
      exposures: Type.Integer(),
    }),
    { description: 'What the verdict was worked out from, so that others can: docs/guides/judging.md has the formulas.' },
  ),
})
export type RolloutEvidence = Static<typeof RolloutEvidence>
export type AskedCheck = RolloutEvidence['checks'][number]

const StageAnswer = Type.Object({
  weight: Type.Number({ description: 'Percent of the requests.' }),
  shadow: Type.Number({ description: 'Percent of copies.' }),
  bakeMs: Type.Number(),
  minimumSample: Type.Integer(),
  approve: Type.Boolean(),
  needs: oneOf(['nothing', 'not failing', 'pass']),
  deadlineMs: Type.Number(),
})

const TransitionAnswer = Type.Object({
  at: Time('When.'),
  actor: Type.String(),
  from: Optional(oneOf(STATES)),
  state: oneOf(STATES),
  step: Type.Integer(),
  weight: Type.Number({ description: 'Percent of the requests from here on.' }),
  reason: Optional(Type.String()),
  evidence: Optional(RolloutEvidence),
})

export const RolloutAnswer = Type.Object({
  id: Type.String(),
  endpoint: Type.String(),
  number: Type.Integer({ description: 'Of the rollouts of the endpoint.' }),
  state: oneOf(STATES),
  pausedFor: Optional(oneOf(PAUSES)),
  waitsFor: Optional(Type.String({ description: 'What comes next is held up by this.' })),
  strategy: oneOf(STRATEGIES),
  stages: Type.Array(StageAnswer),
  bakeAfterMs: Type.Number(),
  watchAfterMs: Type.Number(),
  step: Type.Integer({ description: 'Index of the present stage; -1: before the first, their number: all requests.' }),
  stepBeganAt: Time('Since when.'),
  weight: Type.Number({ description: 'Percent of the requests that the new version gets now.' }),
  from: OfModel,
  to: OfModel,
  edgeMs: Optional(Type.Number({ description: 'Latency edge that was frozen.' })),
  verdict: Optional(oneOf(VERDICTS)),
  evidence: Optional(RolloutEvidence),
  onPromoted: Optional(Type.Object({ alias: Type.String() })),
  startedBy: Type.String(),
  reason: Optional(Type.String()),
  createdAt: Time('When it began.'),
  updatedAt: Time('When it last changed.'),
  endedAt: Optional(Time('When it ended.')),
  transitions: Optional(Type.Array(TransitionAnswer, { description: 'Of one rollout, the first one first.' })),
})
export type RolloutAnswer = Static<typeof RolloutAnswer>

export const RolloutBody = Type.Object(
  {
    to: Optional(
      Type.String({
        minLength: 1,
        maxLength: 400,
        description:
          'MODEL@ALIAS, MODEL/NUMBER, or of the model of the endpoint an alias or a number. Default: what the endpoint declares means now.',
      }),
    ),
    rollout: Optional(Rollout),
    onPromoted: Optional(
      Type.Object({ alias: Type.String({ minLength: 1, description: 'Alias that points to the version once it is promoted.' }) }, closed),
    ),
    anew: Optional(
      Type.Boolean({ description: 'Forget what was shown of the same two versions before, as something else was mended. Default: false.' }),
    ),
  },
  closed,
)
export type RolloutBody = Static<typeof RolloutBody>

export const COMMANDS = ['promote', 'skip', 'pause', 'resume', 'abort', 'retry'] as const

export const RolloutCommand = Type.Object(
  {
    command: oneOf(COMMANDS, {
      description:
        '`promote`: the next step now, whatever is not shown yet; `skip`: the present step is done, evidence still counts; `pause`, `resume`; `abort`: the version before has all requests; `retry`: the same walk again.',
    }),
    full: Optional(Type.Boolean({ description: 'With `promote`: all requests at once, without the other steps. Default: false.' })),
    anew: Optional(Type.Boolean({ description: 'With `retry`: forget what was shown before. Default: false.' })),
  },
  closed,
)
export type RolloutCommand = Static<typeof RolloutCommand>

const Expectation = Type.Object({
  metric: Type.String(),
  share: Type.Number({ description: 'Of the new version among both, 0 to 1.' }),
  ratio: Type.Number({ description: 'Times as often as now.' }),
  shown: oneOf(['fail', 'pass']),
  requests: Optional(Type.Integer({ description: 'Of both; half of such rollouts need fewer. Missing: more than can be waited for.' })),
  seconds: Optional(Type.Number({ description: 'At the rate of now.' })),
})

export const RolloutPlan = Type.Object({
  endpoint: Type.String(),
  from: OfModel,
  to: Type.Object({ model: Type.String(), version: Type.String() }),
  strategy: oneOf(STRATEGIES),
  stages: Type.Array(StageAnswer),
  bakeAfterMs: Type.Number(),
  watchAfterMs: Type.Number(),
  steps: Type.Boolean({ description: 'False: it comes at once, as the reason says.' }),
  reason: Optional(Type.String()),
  traffic: Type.Object({
    requestsPerSecond: Type.Number({ description: 'Of the last hour.' }),
    errorRate: Type.Number({ description: 'Share of requests that went wrong.' }),
    edgeMs: Optional(Type.Number({ description: 'Latency edge that would be frozen.' })),
  }),
  leastSeconds: Type.Number({ description: 'How long it takes if nothing holds it up.' }),
  expectations: Type.Array(Expectation),
  gates: Type.Array(Type.Object({ gate: Type.String(), waitsFor: Type.String() }), { description: 'What is not passed yet.' }),
})
export type RolloutPlan = Static<typeof RolloutPlan>

export const VerdictAnswer = Type.Object({
  data: Type.Object({
    verdict: oneOf(['pass', 'fail', 'inconclusive', 'no_data']),
    at: Time('When it was looked at: an old one is no verdict any more.'),
    state: oneOf(STATES),
    step: Type.Integer(),
    weight: Type.Number(),
    reasons: Type.Array(Type.String()),
  }),
})
export type VerdictAnswer = Static<typeof VerdictAnswer>
