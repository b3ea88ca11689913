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

/** @param checks undefined: those that fit every model */
export function planOf(checks: GateChecks | undefined, facts: PlanFacts): Plan {
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
