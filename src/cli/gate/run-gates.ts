import { createHash } from 'node:crypto'
import { compareSignatures } from '../../contract/compatibility.ts'
import { DEFAULT_GATE } from '../../contract/gates.ts'
import { SlipwayError } from '../../core/errors.ts'
import * as gates from '../../gates/gates.ts'
import { textColumns } from '../../signature/csv.ts'
import { taskOf } from './answers.ts'
import { askChanged, evaluate, questionsOf } from './evaluate.ts'
import { machineText, measureLatencies, measureMemory } from './measure.ts'
import { readDataset } from './dataset.ts'
import { loadSubject, signatureOf } from './subject.ts'
import { withoutChampion } from './without-champion.ts'
import type { GatesDocument } from '../../contract/gates.ts'
import type { GateReport, GateResult } from '../../contract/gate-report.ts'
import type { Plan, Row } from '../../gates/gates.ts'
import type { Model } from '../../library/load-model.ts'
import type { Evaluated, Models } from './evaluate.ts'
import type { FarPlaceOptions } from '../model/far-place.ts'
import type { Loaded, Subject } from './subject.ts'

/** What is looked at, and by which gates. */
export interface GateRun {
  readonly document: GatesDocument
  /** Text of the document, for its digest; undefined where there is none. */
  readonly text: string | undefined
  /** Folder that paths in the document are relative to. */
  readonly base: string
  readonly subject: Subject
  readonly champion: Subject | undefined
  readonly options: FarPlaceOptions & { readonly sandboxPython?: string | undefined }
  /** Folder for what is downloaded. */
  readonly scratch: string
  readonly progress: (text: string) => void
}

/** Requests of a measurement of latency. */
const RUNS = 500

/** Loads both versions, asks them, and judges what they answer. @throws what is no fault of the version: exit code 2 */
export async function runGates(run: GateRun): Promise<GateReport> {
  const { subject, champion, options } = run
  run.progress(`loading ${subject.name}`)
  await using opened = new AsyncDisposableStack()
  const candidate = await loadSubject(subject, options.sandboxPython)
  if (candidate.model === undefined)
    return reportOf(run, [], {
      results: [failedToLoad(candidate.failure)],
      notes: ['nothing else was looked at, as the model does not load'],
    })
  opened.use(candidate.model)
  const other = champion === undefined ? undefined : await loadSubject(champion, options.sandboxPython)
  if (other?.failure !== undefined) throw unusableChampion(champion!, other.failure)
  if (other !== undefined) opened.use(other.model)
  const evaluated = await evaluateAll(run, { candidate: candidate.model, champion: other?.model })
  const { plan, notes } = planFor(run, candidate.model, evaluated)
  const looking: Looking = { ...run, plan, candidate, other, evaluated }
  const results = [...judgeVersion(looking), ...judgeAnswers(looking), ...(await judgeBehaviour(looking)), ...(await judgeBudgets(looking))]
  const approval = approvalOf(run, plan, results)
  return reportOf(run, evaluated, { results: approval === undefined ? results : [...results, approval], notes })
}

interface Looking extends GateRun {
  readonly plan: Plan
  readonly candidate: Loaded & { readonly model: Model }
  readonly other: (Loaded & { readonly model: Model }) | undefined
  readonly evaluated: readonly Evaluated[]
}

/** @throws errors that are no fault of the model */
function failedToLoad(failure: SlipwayError): GateResult {
  if (failure.code === 'SLW_GOLDEN_FAILED') return gates.judgeGolden(0, failure.message)
  if (failure.kind.http === 422) return gates.judgeLoad(failure.message)
  throw failure
}

function unusableChampion({ name }: Subject, failure: SlipwayError): SlipwayError {
  return new SlipwayError(
    failure.code,
    `${name}, which it is compared with, cannot be loaded: ${failure.message}; --against none compares with nothing`,
  )
}

async function evaluateAll(
  { document, base, scratch, subject, options, progress }: GateRun,
  models: Omit<Models, 'task'>,
): Promise<Evaluated[]> {
  const all: Evaluated[] = []
  const textual = textColumns(models.candidate.signature)
  for (const [name, spec] of Object.entries(document.datasets ?? {})) {
    const task = taskOf(models.candidate.signature, subject.name)
    progress(`reading ${spec.file}`)
    const dataset = await readDataset(name, spec, { ...options, base, scratch, textual })
    progress(`asking ${dataset.rows.length} rows of ${name}`)
    all.push(await evaluate(dataset, { ...models, task }))
  }
  return all
}

function planFor(
  { document, subject, champion }: GateRun,
  { details }: Model,
  evaluated: readonly Evaluated[],
): { readonly plan: Plan; readonly notes: string[] } {
  const [first] = evaluated
  const hasChampion = champion !== undefined || first?.sample.champion !== undefined
  const plan = gates.planOf(document.checks, {
    hasDataset: first !== undefined,
    task: first?.sample.classes === undefined ? 'regression' : 'classification',
    hasProbabilities: first?.sample.candidate.probabilities !== undefined,
    hasChampion,
  })
  const notes = evaluated.flatMap(({ dataset: { name }, refusedByChampion }) =>
    refusedByChampion === 0 ? [] : [`${refusedByChampion} rows of ${name} are left out, as there is no answer of the champion for them`],
  )
  if (champion?.registered !== undefined && champion.name === subject.name)
    notes.push(`${subject.name} is the champion itself: it is compared with itself`)
  // Golden examples that nobody has asked for need not be there.
  const golden = plan.golden && (document.checks?.golden === true || (details.package.document.golden?.length ?? 0) > 0)
  if (plan.golden && !golden) notes.push('the package has no golden examples')
  if (hasChampion) return { plan: { ...plan, golden }, notes }
  const left = withoutChampion(plan)
  const told = left.dropped.length === 0 ? [] : [`there is no champion to compare with, which leaves out: ${left.dropped.join(', ')}`]
  return { plan: { ...left.plan, golden }, notes: [...notes, ...told] }
}

function judgeVersion({ plan, subject, champion, candidate, other, evaluated }: Looking): GateResult[] {
  const results: GateResult[] = []
  if (plan.contract && champion !== undefined && other !== undefined)
    results.push(gates.judgeContract(compareSignatures(signatureOf(champion, other), signatureOf(subject, candidate)), champion.name))
  if (plan.golden) results.push(gates.judgeGolden(candidate.model.details.package.document.golden?.length ?? 0, undefined))
  for (const { dataset, refused } of evaluated) results.push(gates.judgeRows({ dataset: dataset.name, rows: dataset.rows.length, refused }))
  return results
}

/** @throws SLW_CONFIG_INVALID for a dataset that the document does not name */
function evaluatedNamed({ evaluated }: Pick<Looking, 'evaluated'>, name: string | undefined, by: string): Evaluated {
  const found = name === undefined ? evaluated[0] : evaluated.find(({ dataset }) => dataset.name === name)
  if (found !== undefined) return found
  const known = evaluated.map(({ dataset }) => dataset.name).join(', ') || 'none'
  throw new SlipwayError(
    'SLW_CONFIG_INVALID',
    `checks.${by}: ${name === undefined ? 'it needs a dataset' : `there is no dataset "${name}"`}; there is ${known}`,
  )
}

function judgeAnswers(looking: Looking): GateResult[] {
  const { plan } = looking
  const of = (name: string | undefined, by: string) => evaluatedNamed(looking, name, by).sample
  return [
    ...plan.baseline.map((check) => gates.judgeBaseline(check, of(check.dataset, 'baseline'))),
    ...plan.metrics.map((check) => gates.judgeMetric(check, of(check.dataset, 'metrics'))),
    ...plan.slices.map((check) => gates.judgeSlices(check, of(check.dataset, 'slices'))),
    ...plan.gaps.map((check) => gates.judgeGap(check, { train: of(check.train, 'gaps'), test: of(check.dataset, 'gaps') })),
    ...plan.comparisons.map((check) => gates.judgeComparison(check, of(check.dataset, 'comparisons'))),
    ...plan.calibration.map((check) => gates.judgeCalibration(check, of(check.dataset, 'calibration'))),
  ]
}

async function judgeBehaviour(looking: Looking): Promise<GateResult[]> {
  const { plan, candidate, progress } = looking
  const results: GateResult[] = []
  for (const check of plan.invariance) {
    const one = evaluatedNamed(looking, check.dataset, 'invariance')
    const columns = [check.set, check.case, check.add].flatMap((part) => Object.keys(part ?? {}))
    requireFeatures([...columns, ...(check.permute ?? [])], candidate.model, { rows: one.sample.rows, by: 'invariance' })
    progress(`asking changed rows of ${one.dataset.name}`)
    const changed = await askChanged(candidate.model, one, gates.perturbForInvariance(one.sample.rows, check))
    results.push(gates.judgeInvariance(check, one.sample, changed))
  }
  for (const check of plan.directional) {
    const one = evaluatedNamed(looking, check.dataset, 'directional')
    requireFeatures([check.feature], candidate.model, { rows: one.sample.rows, by: 'directional' })
    progress(`asking rows of ${one.dataset.name} with another ${check.feature}`)
    const changed = await askChanged(candidate.model, one, gates.perturbForDirection(one.sample.rows, check))
    results.push(gates.judgeDirection(check, one.sample, changed))
  }
  return results
}

/** What the model does not see cannot change its answer, and would prove nothing. @throws SLW_CONFIG_INVALID */
function requireFeatures(columns: readonly string[], { signature }: Model, { rows, by }: { rows: readonly Row[]; by: string }): void {
  if (columns.length === 0)
    throw new SlipwayError('SLW_CONFIG_INVALID', `checks.${by}: nothing is changed; say what with set, case, add or permute`)
  const inputs = signature.inputs.map(({ name }) => name)
  const named = signature.features?.map(({ spec }) => spec.name) ?? inputs.filter((name) => rows[0] !== undefined && name in rows[0])
  const known = named.length > 0 ? named : Object.keys(rows[0] ?? {})
  const strange = columns.find((column) => !known.includes(column))
  if (strange !== undefined)
    throw new SlipwayError('SLW_CONFIG_INVALID', `checks.${by}: "${strange}" is no feature of the model; it has ${known.join(', ')}`)
}

async function judgeBudgets(looking: Looking): Promise<GateResult[]> {
  const { plan, subject, champion, candidate, other, options, progress } = looking
  const results: GateResult[] = []
  if (plan.latency !== undefined) {
    progress('measuring latency')
    const one = evaluatedNamed(looking, plan.latency.dataset, 'latency')
    const compared = plan.latency.relative === undefined || other === undefined ? [candidate.model] : [candidate.model, other.model]
    const timed = compared.map((model) => ({ model, questions: questionsOf(model, one.sample.rows, one.dataset) }))
    const [own = [], others] = one.sample.rows.length === 0 ? [] : await measureLatencies(timed, plan.latency.runs ?? RUNS)
    results.push(gates.judgeLatency(plan.latency, { candidate: own, champion: others }))
  }
  if (plan.memory !== undefined) {
    progress('measuring memory')
    const one = evaluatedNamed(looking, plan.memory.dataset, 'memory')
    const measure = async ({ path }: Subject, model: Model) =>
      await measureMemory(path, questionsOf(model, one.sample.rows, one.dataset), options.sandboxPython)
    const compares = plan.memory.relative !== undefined && champion !== undefined && other !== undefined
    const own = await measure(subject, candidate.model)
    results.push(gates.judgeMemory(plan.memory, { candidate: own, champion: compares ? await measure(champion, other.model) : undefined }))
  }
  return results
}

/** The gate of a person, where the document, the policy of the model or a warning asks for one. */
function approvalOf({ subject: { registered } }: GateRun, plan: Plan, results: readonly GateResult[]): GateResult | undefined {
  const { policy } = registered?.model ?? {}
  const warnings = results.filter(({ severity, verdict }) => severity === 'warning' && verdict !== 'pass').map(({ name }) => name)
  const byPolicy = policy?.approval === true && (policy.gatedAliases ?? []).length > 0
  if (!plan.approval && !byPolicy && warnings.length === 0) return undefined
  if (registered === undefined) return gates.judgeApproval({ version: undefined, state: 'none', warnings })
  const { model, version } = registered
  return gates.judgeApproval({
    version: `${model.name}/${version.version}`,
    state: version.approval.state,
    by: version.approval.by,
    notBy: policy?.secondPerson === true ? version.createdBy : undefined,
    warnings,
  })
}

function reportOf(
  { document, text, subject, champion }: GateRun,
  evaluated: readonly Evaluated[],
  { results, notes }: Pick<GateReport, 'results' | 'notes'>,
): GateReport {
  return {
    gate: document.name ?? DEFAULT_GATE,
    subject: subject.name,
    ...(champion !== undefined && { champion: champion.name }),
    datasets: evaluated.map(({ dataset: { name, spec, digest, rows, unlabelled } }) => ({
      name,
      file: spec.file,
      digest,
      rows: rows.length,
      unlabelled,
    })),
    results,
    notes,
    ...(text !== undefined && { document: createHash('sha256').update(text).digest('hex') }),
    machine: machineText(),
    at: Date.now(),
  }
}
