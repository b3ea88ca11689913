/**
 * How a new version walks into production: the `rollout` of an endpoint, in a few lines, and what these mean with every default in place.
 */
import { Type } from 'typebox'
import { parseDurationMs } from '../core/units.ts'
import { Audience } from './audience.ts'
import { MetricOptions } from './judge-options.ts'
import { Check, checkIssues } from './outside-check.ts'
import { DURATION, oneOf } from './schema.ts'
import type { Static } from 'typebox'
import type { Issue } from '../core/errors.ts'

const closed = { additionalProperties: false } as const
const Optional = Type.Optional

const Duration = (description: string) => Type.String({ pattern: DURATION, maxLength: 20, description })

export const STRATEGIES = ['all-at-once', 'blue-green', 'canary', 'linear', 'shadow-then-canary', 'ab'] as const
export type StrategyName = (typeof STRATEGIES)[number]

const Weight = Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 100, description: 'Percent of the requests.' })

const Step = Type.Union([
  Weight,
  Type.Object(
    {
      weight: Weight,
      bake: Optional(Duration('How long it lasts at least. Default: that of the rollout.')),
      minimumSample: Optional(
        Type.Integer({ minimum: 0, description: 'Requests of the new version at least. Default: that of the rollout.' }),
      ),
      approve: Optional(Type.Boolean({ description: 'Whether a person has to promote it from here. Default: false.' })),
    },
    closed,
  ),
])

const Freeze = Type.Object(
  {
    cron: Type.String({ minLength: 1, maxLength: 200, description: 'When it begins: five fields, such as `0 18 * * FRI`.' }),
    duration: Duration('How long it lasts, such as 60h.'),
    timeZone: Optional(Type.String({ maxLength: 100, description: 'IANA name, such as Europe/Berlin. Default: UTC.' })),
  },
  closed,
)
export type Freeze = Static<typeof Freeze>

export const Rollout = Type.Object(
  {
    strategy: Optional(
      oneOf(STRATEGIES, {
        description:
          '`canary`: a few percent first, then more; `linear`: by equal steps; `shadow-then-canary`: copies of requests first; `blue-green`: loaded beside, then all requests at once, the version before kept loaded; `ab`: two halves until a fixed end; `all-at-once`. Default: canary.',
      }),
    ),
    steps: Optional(
      Type.Array(Step, { minItems: 1, maxItems: 100, description: 'Of a canary, in percent, rising; 100 follows. Default: 5, 25, 50.' }),
    ),
    stepWeight: Optional(
      Type.Number({ minimum: 1, maximum: 50, description: 'Of a linear rollout, percent by which each step rises. Default: 10.' }),
    ),
    shadow: Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 100,
        description: 'Percent of copies in the first step of `shadow-then-canary`. Default: 10.',
      }),
    ),
    share: Optional(
      Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 100, description: 'Of an A/B test, percent of the new version. Default: 50.' }),
    ),
    duration: Optional(Duration('Of an A/B test, from its begin to its fixed end. Default: 7d.')),
    audience: Optional(
      Type.Array(Audience, {
        minItems: 1,
        maxItems: 50,
        description:
          'Of an A/B test: who gets the new version, and nobody else does. They were not chosen by chance: there is a report, and no verdict.',
      }),
    ),
    bake: Optional(Duration('How long each step lasts at least. Default: 5m.')),
    bakeAfter: Optional(
      Duration(
        'How long the version before stays loaded once the new one has all requests, so that going back takes no loading. Default: as `bake`.',
      ),
    ),
    watchAfter: Optional(
      Duration('How long labels that come late may still turn it back, once the version before is not loaded any more. Default: 0s.'),
    ),
    advance: Optional(
      oneOf(['not failing', 'proven'], {
        description:
          'What a step needs beside `bake` and `minimumSample`: that nothing fails, or that all guardrails pass. The last one always needs a pass. Default: not failing.',
      }),
    ),
    minimumSample: Optional(Type.Integer({ minimum: 0, description: 'Requests of the new version in each step at least. Default: 100.' })),
    deadline: Optional(
      Duration('How long a step may take beyond `bake` until it is paused, or turned back. Default: 1h, and 24h for the last.'),
    ),
    onDeadline: Optional(oneOf(['pause', 'back'], { description: 'What comes of a step that takes longer. Default: pause.' })),
    burnIn: Optional(Duration('At the begin of the first step, the time that does not count: caches are cold. Default: 10s.')),
    freshness: Optional(Duration('How old the newest evidence may be before a rollout is paused for want of data. Default: 2m.')),
    baseline: Optional(
      Type.Boolean({
        description:
          'Whether the new version is compared with a fresh copy of the version before, of the same share, rather than with one that has run for long. Default: false.',
      }),
    ),
    freeze: Optional(Type.Array(Freeze, { maxItems: 20, description: 'Times in which no step is taken; going back is. Default: none.' })),
    rollbackWindow: Optional(Duration('A version that was in force so recently is put back without steps. Default: 24h.')),
    rollbackAfter: Optional(
      Duration(
        'A server that has heard nothing of the control plane for so long gives all requests to the version before. Default: it holds.',
      ),
    ),
    checks: Optional(
      Type.Array(Check, {
        maxItems: 20,
        description: 'What monitoring of others is asked about the new version, beside what is counted here. Default: none.',
      }),
    ),
    gates: Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 100 }), {
        maxItems: 20,
        description: 'What a version has to have passed before its first step: `approval`, and names of gates. Default: none.',
      }),
    ),
    falseAlarm: Optional(
      Type.Number({
        exclusiveMinimum: 0,
        exclusiveMaximum: 0.5,
        description: 'Probability that a version which is no worse is turned back. Default: 0.05.',
      }),
    ),
    falsePass: Optional(
      Type.Number({
        exclusiveMinimum: 0,
        exclusiveMaximum: 0.5,
        description: 'Probability that a version as bad as `ruleOut` says passes. Default: 0.05.',
      }),
    ),
    errors: Optional(MetricOptions),
    latency: Optional(
      Type.Union([
        Type.Literal(false),
        Type.Object(
          {
            ...MetricOptions.properties,
            edgeMs: Optional(
              Type.Number({
                exclusiveMinimum: 0,
                maximum: 3_600_000,
                description: 'Requests that take longer went wrong. Default: the 99th percentile of the last hour.',
              }),
            ),
          },
          { ...closed, description: 'Default: guardrail, `tolerate` 1.5, `cap` 0.02. false: it is not judged.' },
        ),
      ]),
    ),
    outputs: Optional(
      Type.Union([
        Type.Literal(false),
        Type.Object(
          {
            change: Optional(
              Type.Number({
                exclusiveMinimum: 0,
                maximum: 1,
                description:
                  'Total variation distance of the classes of both versions that fails once it is shown to be larger. Default: 0.25.',
              }),
            ),
          },
          { ...closed, description: 'Of models that answer classes. false: they are not judged.' },
        ),
      ]),
    ),
    labels: Optional(
      Type.Object(
        {
          ...MetricOptions.properties,
          independentOfPrediction: Optional(
            Type.Boolean({
              description:
                'Whether labels come alike whatever was predicted: who blocks a payment never learns whether it was fraud. Only then wrong labels turn a version back. Default: false.',
            }),
          ),
        },
        closed,
      ),
    ),
  },
  { ...closed, description: 'How a new version comes into force. Default: at once.' },
)
export type Rollout = Static<typeof Rollout>

/** One step of a rollout with every default in place. Times in milliseconds. */
export interface Stage {
  /** Percent of the requests that the new version gets. */
  readonly weight: number
  /** Percent of copies that it gets. */
  readonly shadow: number
  readonly bakeMs: number
  readonly minimumSample: number
  /** A person has to promote it from here. */
  readonly approve: boolean
  /** What of the evidence it needs before the next one. */
  readonly needs: 'nothing' | 'not failing' | 'pass'
  readonly deadlineMs: number
}

export type ResolvedMetric = Static<typeof MetricOptions>

/** A strategy with every default in place. Times in milliseconds. */
export interface ResolvedRollout {
  readonly strategy: StrategyName
  /** Those before all requests; the last of them is `all`. */
  readonly stages: readonly Stage[]
  readonly audience: readonly Audience[]
  readonly bakeAfterMs: number
  readonly watchAfterMs: number
  readonly onDeadline: 'pause' | 'back'
  readonly burnInMs: number
  readonly freshnessMs: number
  readonly baseline: boolean
  readonly freeze: readonly Freeze[]
  readonly rollbackWindowMs: number
  readonly rollbackAfterMs: number | undefined
  readonly checks: readonly Check[]
  readonly gates: readonly string[]
  readonly falseAlarm: number
  readonly falsePass: number
  readonly minimumSample: number
  readonly errors: ResolvedMetric
  readonly latency: (ResolvedMetric & { readonly edgeMs?: number }) | undefined
  readonly outputs: { readonly change: number } | undefined
  readonly labels: ResolvedMetric & { readonly independentOfPrediction: boolean }
}

const DEFAULTS = {
  strategy: 'canary',
  steps: [5, 25, 50],
  stepWeight: 10,
  shadow: 10,
  share: 50,
  duration: '7d',
  bake: '5m',
  watchAfter: '0s',
  advance: 'not failing',
  minimumSample: 100,
  deadline: '1h',
  lastDeadline: '24h',
  burnIn: '10s',
  freshness: '2m',
  rollbackWindow: '24h',
  falseAlarm: 0.05,
  falsePass: 0.05,
  change: 0.25,
  latency: { tolerate: 1.5, cap: 0.02 },
} as const satisfies Rollout & Record<string, unknown>

const ms = (text: string): number => parseDurationMs(text, 'rollout')

export function resolveRollout(rollout: Rollout): ResolvedRollout {
  const { strategy = DEFAULTS.strategy, bake = DEFAULTS.bake, labels = {}, latency = DEFAULTS.latency, outputs = {} } = rollout
  const { independentOfPrediction = false, ...ofLabels } = labels
  return {
    strategy,
    stages: stagesOf(rollout, strategy),
    audience: rollout.audience ?? [],
    bakeAfterMs: ms(rollout.bakeAfter ?? (strategy === 'all-at-once' ? '0s' : bake)),
    watchAfterMs: ms(rollout.watchAfter ?? DEFAULTS.watchAfter),
    onDeadline: rollout.onDeadline ?? 'pause',
    burnInMs: ms(rollout.burnIn ?? DEFAULTS.burnIn),
    freshnessMs: ms(rollout.freshness ?? DEFAULTS.freshness),
    baseline: rollout.baseline ?? false,
    freeze: rollout.freeze ?? [],
    rollbackWindowMs: ms(rollout.rollbackWindow ?? DEFAULTS.rollbackWindow),
    rollbackAfterMs: rollout.rollbackAfter === undefined ? undefined : ms(rollout.rollbackAfter),
    checks: rollout.checks ?? [],
    gates: rollout.gates ?? [],
    falseAlarm: rollout.falseAlarm ?? DEFAULTS.falseAlarm,
    falsePass: rollout.falsePass ?? DEFAULTS.falsePass,
    minimumSample: rollout.minimumSample ?? DEFAULTS.minimumSample,
    errors: rollout.errors ?? {},
    latency: latency === false ? undefined : { ...DEFAULTS.latency, ...latency },
    outputs: outputs === false ? undefined : { change: outputs.change ?? DEFAULTS.change },
    labels: { role: independentOfPrediction ? 'guardrail' : 'warn', ...ofLabels, independentOfPrediction },
  }
}

/** The steps before all requests go to the new version. */
function stagesOf(rollout: Rollout, strategy: StrategyName): Stage[] {
  const { steps = [...DEFAULTS.steps], stepWeight = DEFAULTS.stepWeight, bake = DEFAULTS.bake, advance = DEFAULTS.advance } = rollout
  const { minimumSample = DEFAULTS.minimumSample, deadline } = rollout
  const stage = (weight: number, more: Partial<Stage> = {}): Stage => ({
    weight,
    shadow: 0,
    bakeMs: ms(bake),
    minimumSample,
    approve: false,
    needs: advance === 'proven' ? 'pass' : 'not failing',
    deadlineMs: ms(deadline ?? DEFAULTS.deadline),
    ...more,
  })
  const rising = (weights: readonly Static<typeof Step>[]): Stage[] =>
    weights.map((one, index) => {
      const { weight, bake: own, approve, ...given } = typeof one === 'number' ? { weight: one } : one
      const last = index === weights.length - 1
      return stage(weight, {
        ...(given.minimumSample !== undefined && { minimumSample: given.minimumSample }),
        ...(own !== undefined && { bakeMs: ms(own) }),
        ...(approve !== undefined && { approve }),
        ...(last && { needs: 'pass', deadlineMs: ms(deadline ?? DEFAULTS.lastDeadline) }),
      })
    })
  switch (strategy) {
    case 'all-at-once':
    case 'blue-green':
      return []
    case 'canary':
      return rising(steps)
    case 'shadow-then-canary':
      return [stage(0, { shadow: rollout.shadow ?? DEFAULTS.shadow, needs: 'not failing' }), ...rising(steps)]
    case 'linear':
      return rising(Array.from({ length: Math.ceil(100 / stepWeight) - 1 }, (_, index) => (index + 1) * stepWeight))
    case 'ab': {
      const lasts = ms(rollout.duration ?? DEFAULTS.duration)
      const report = rollout.audience !== undefined
      return [
        stage(report ? 0 : (rollout.share ?? DEFAULTS.share), {
          bakeMs: lasts,
          needs: report ? 'nothing' : 'pass',
          approve: report,
          minimumSample: report ? 0 : minimumSample,
          deadlineMs: ms(deadline ?? DEFAULTS.deadline),
        }),
      ]
    }
  }
}

/** Percent of the largest step before all requests. @param weights of the declared steps */
function largestOf(
  { stepWeight = DEFAULTS.stepWeight, share = DEFAULTS.share }: Rollout,
  strategy: StrategyName,
  weights: readonly number[],
): number {
  if (strategy === 'linear') return (Math.ceil(100 / stepWeight) - 1) * stepWeight
  return strategy === 'ab' ? share : Math.max(0, ...weights)
}

/** What belongs to which strategy. */
const ONLY_OF: Readonly<Record<string, readonly StrategyName[]>> = {
  steps: ['canary', 'shadow-then-canary'],
  stepWeight: ['linear'],
  shadow: ['shadow-then-canary'],
  share: ['ab'],
  duration: ['ab'],
  audience: ['ab'],
}

/** Contradictions in a strategy. Paths begin with `spec.rollout`. */
export function contradictionsInRollout(rollout: Rollout): Issue[] {
  const { strategy = DEFAULTS.strategy, steps = [], errors, labels, latency } = rollout
  const issues: Issue[] = []
  const note = (path: string, message: string): void => void issues.push({ path: `spec.rollout.${path}`, message })
  for (const [field, strategies] of Object.entries(ONLY_OF))
    if (rollout[field as keyof Rollout] !== undefined && !strategies.includes(strategy))
      note(field, `belongs to ${strategies.join(' and ')}; the strategy is ${strategy}`)
  const weights = steps.map((step) => (typeof step === 'number' ? step : step.weight))
  const falling = weights.findIndex((weight, index) => index > 0 && weight <= weights[index - 1]!)
  if (falling !== -1) note(`steps[${falling}]`, `${weights[falling]} is not more than the step before, ${weights[falling - 1]}`)
  if (rollout.baseline === true && largestOf(rollout, strategy, weights) > 50)
    note('baseline', 'a fresh copy has the share of the new version: steps of more than 50 percent leave it none')
  for (const [name, metric] of Object.entries({ errors, labels, latency: latency === false ? undefined : latency })) {
    const tolerate = metric?.tolerate ?? (name === 'latency' ? DEFAULTS.latency.tolerate : 1)
    if ((metric?.ruleOut ?? 2 * tolerate) <= tolerate)
      note(`${name}.ruleOut`, `must be more than tolerate, which is ${tolerate}: between the two is what may be`)
  }
  if (labels?.role === 'guardrail' && labels.independentOfPrediction !== true)
    note('labels.role', 'wrong labels turn a version back only where labels come whatever was predicted: independentOfPrediction: true')
  return [...issues, ...checkIssues(rollout.checks ?? [], 'spec.rollout.checks')]
}
