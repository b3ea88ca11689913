import { SlipwayError } from '../core/errors.ts'
import type { GateChecks } from '../contract/gates.ts'

type List<Kind extends keyof GateChecks> = NonNullable<GateChecks[Kind]>

/** The checks of a document, with everything decided. */
export interface Plan {
  readonly contract: boolean
  readonly golden: boolean
  /** Whether a person has to approve, whatever the policy of the model says. */
  readonly approval: boolean
  readonly metrics: List<'metrics'>
  readonly baseline: List<'baseline'>
  readonly slices: List<'slices'>
  readonly gaps: List<'gaps'>
  readonly comparisons: List<'comparisons'>
  readonly calibration: List<'calibration'>
  readonly invariance: List<'invariance'>
  readonly directional: List<'directional'>
  readonly latency: GateChecks['latency']
  readonly memory: GateChecks['memory']
}

/** What is known of the subject when the plan is made. */
export interface PlanFacts {
  readonly hasDataset: boolean
  readonly task: 'classification' | 'regression'
  readonly hasProbabilities: boolean
  readonly hasChampion: boolean
}

/**
 * @param checks undefined: those that fit every model
 * @throws SLW_CONFIG_INVALID for a check that nothing could fail
 */
export function planOf(checks: GateChecks | undefined, facts: PlanFacts): Plan {
  if (checks !== undefined) requireBounds(checks)
  const { contract = true, golden = true, approval = false, latency, memory, ...lists } = checks ?? usual(facts)
  const {
    metrics = [],
    baseline = [],
    slices = [],
    gaps = [],
    comparisons = [],
    calibration = [],
    invariance = [],
    directional = [],
  } = lists
  return { contract, golden, approval, latency, memory, metrics, baseline, slices, gaps, comparisons, calibration, invariance, directional }
}

/** Better than a model that knows nothing, no worse than the champion, and, as a warning, calibrated. */
function usual({ hasDataset, task, hasProbabilities, hasChampion }: PlanFacts): GateChecks {
  if (!hasDataset) return {}
  if (task === 'regression')
    return { baseline: [{ metric: 'rmse', gain: 0 }], ...(hasChampion && { comparisons: [{ test: 'bootstrap', metric: 'mae' }] }) }
  return {
    baseline: [{ metric: hasProbabilities ? 'logLoss' : 'accuracy', gain: 0 }],
    ...(hasChampion && { comparisons: [{ test: 'mcnemar' }] }),
    ...(hasProbabilities && { calibration: [{ severity: 'warning' }] }),
  }
}

const BOUNDS = {
  metrics: ['min', 'max', 'change', 'relative'],
  slices: ['min', 'max', 'change', 'relative', 'drop'],
  latency: ['p99Ms', 'relative'],
  memory: ['maxMb', 'relative'],
} as const

/** What is only to be shown needs no bound. */
function requireBounds(checks: GateChecks): void {
  for (const [kind, bounds] of Object.entries(BOUNDS)) {
    for (const [index, check] of [checks[kind as keyof typeof BOUNDS] ?? []].flat().entries()) {
      if (check.severity === 'info' || bounds.some((bound) => bound in check)) continue
      const place = kind === 'metrics' || kind === 'slices' ? `${kind}[${index}]` : kind
      throw new SlipwayError(
        'SLW_CONFIG_INVALID',
        `checks.${place}: nothing could fail it; give one of ${bounds.join(', ')}, or severity: info`,
      )
    }
  }
}
