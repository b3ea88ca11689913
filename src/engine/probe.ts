import { messageOf } from '../core/errors.ts'
import { isFloat } from '../tensor/datatype.ts'
import { concatRows, copyTensor, sliceRows, toNumbers } from '../tensor/tensor.ts'
import { fitCost } from './cost.ts'
import type { Cost } from './cost.ts'
import type { Instance } from './instance.ts'
import type { Tensor, TensorSpec } from '../tensor/tensor.ts'

/** Findings of a few runs of a model at load. */
export interface Probe {
  /** Whether rows of different requests may share a run, and why or why not. */
  readonly batchable: boolean
  readonly reason: string
  /** Undefined where no run of the probe succeeded. */
  readonly cost: Cost | undefined
  /** Shape of one row of each output, by name; known for batchable models. */
  readonly rowShapes: ReadonlyMap<string, readonly number[]>
}

/** Findings, and what they were made from. */
export interface Probed extends Probe {
  /** Outputs of the first runs, in their order; none where no run succeeded. */
  readonly seen: readonly (readonly Tensor[])[]
}

export interface ProbeOptions {
  readonly instance: Pick<Instance, 'run'>
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly string[]
  /** One request of `rows` rows, fresh memory at every call; rows differ from one another. */
  readonly sample: (rows: number) => readonly Tensor[]
  /** Rows of the larger timing run. */
  readonly maxBatchSize: number
  /** The operator in which rows of a batch are not independent, and why, as the graph says. Default: none is known. */
  readonly coupling?: string | undefined
  /**
   * Whether other models serve meanwhile: no runs are made for timing, which the load would distort anyway; the cost is that of the runs
   * that compare rows, until requests give a better one. Default: false.
   */
  readonly gentle?: boolean
}

/** Allowed difference between a float of a batched run and of the single run, relative plus absolute: kernels sum in another order. */
export const PROBE_TOLERANCE = { relative: 1e-3, absolute: 1e-4 } as const

/** Runs whose outputs are kept for whoever checks them. */
const SEEN_MAX = 4

/** Time limit of the timing runs, so that slow models do not start slowly. */
const TIMING_BUDGET_MS = 60
const SLOW_ROW_US = 1000

/**
 * Finds out by running whether a model treats rows independently. Declared output shapes are not used: the most common converters declare
 * them wrongly. Dim 0 of every input must be free, and runs with 1, 2 and 3 rows must return that many rows in every output, equal to
 * single runs.
 */
export async function probe(asked: ProbeOptions): Promise<Probed> {
  const { inputs, outputs } = asked
  const seen: (readonly Tensor[])[] = []
  const instance: ProbeOptions['instance'] = {
    run: async (...args) => {
      const result = await asked.instance.run(...args)
      if (seen.length < SEEN_MAX) seen.push(result.outputs)
      return result
    },
  }
  const options = { ...asked, instance }
  const times = new Map<number, number>()
  const run = async (tensors: readonly Tensor[]): Promise<readonly Tensor[]> => {
    const result = await instance.run(tensors.map(copyTensor), outputs)
    const rows = tensors[0]?.shape[0] ?? 1
    times.set(rows, Math.min(times.get(rows) ?? Number.POSITIVE_INFINITY, result.computeUs))
    return result.outputs
  }
  const fixed = inputs.length === 0 ? NO_INPUT : inputs.find((input) => input.anyRank !== true && input.shape[0] !== -1)
  let singles: (readonly Tensor[])[]
  const sample = options.sample(3)
  try {
    singles = fixed === undefined ? [] : [await run(options.sample(1))]
    if (fixed === undefined)
      for (let row = 0; row < 3; row++) singles.push(await run(sample.map((tensor) => sliceRows(tensor, row, row + 1))))
  } catch (error) {
    return {
      batchable: false,
      reason: `the probe with generated inputs failed (${messageOf(error)}); examples in slipway.yaml give it real ones`,
      cost: undefined,
      rowShapes: new Map(),
      seen,
    }
  }
  if (fixed !== undefined) {
    const reason =
      fixed === NO_INPUT
        ? 'the model has no inputs'
        : `dimension 0 of input "${fixed.name}" is fixed${fixed.shape.length === 0 ? ' (a scalar)' : ` at ${fixed.shape[0]}`}`
    return { batchable: false, reason, cost: await timeRuns(options, false), rowShapes: new Map(), seen }
  }
  const reason = options.coupling ?? (await compareBatches(run, sample, singles))
  const batchable = reason === undefined
  return {
    batchable,
    reason: reason ?? 'runs with 1, 2 and 3 rows agree',
    cost: options.gentle === true ? costOf(times, batchable) : await timeRuns(options, batchable),
    rowShapes: new Map(singles[0]?.map((output) => [output.name, output.shape.slice(1)])),
    seen,
  }
}

const NO_INPUT: TensorSpec = { name: '', datatype: 'FP32', shape: [], dimensionNames: [] }

/** The reason why batches and single runs differ, or undefined when they agree. */
async function compareBatches(
  run: (tensors: readonly Tensor[]) => Promise<readonly Tensor[]>,
  sample: readonly Tensor[],
  singles: readonly (readonly Tensor[])[],
): Promise<string | undefined> {
  for (const rows of [1, 2, 3]) {
    let outputs: readonly Tensor[]
    try {
      outputs = await run(sample.map((tensor) => sliceRows(tensor, 0, rows)))
    } catch (error) {
      return `a run with ${rows} rows failed: ${messageOf(error)}`
    }
    for (const [index, output] of outputs.entries()) {
      if (output.shape[0] !== rows) return `output "${output.name}" has shape [${output.shape.join(', ')}] for ${rows} rows`
      const parts = singles
        .slice(0, rows)
        .map((single) => single[index])
        .filter((part) => part !== undefined)
      if (parts.some((part) => part.shape[0] !== 1)) return `output "${output.name}" has shape [${parts[0]?.shape.join(', ')}] for 1 row`
      if (parts.some((part) => part.shape.slice(1).join() !== output.shape.slice(1).join()))
        return `the row shape of output "${output.name}" changes with the number of rows`
      if (!isClose(concatRows(parts), output))
        return `output "${output.name}" of ${rows} rows differs from single runs${rows === 1 ? ' (the model answers at random)' : ''}`
    }
  }
  return undefined
}

/** Whether outputs of the same shape are equal up to the rounding of kernels. */
export function isClose(a: Tensor, b: Tensor): boolean {
  if (!isFloat(a.datatype)) return (a.data as string[]).every((value, index) => value === b.data[index])
  const left = toNumbers(a)
  const right = toNumbers(b)
  for (let index = 0; index < left.length; index++) {
    const x = left[index]!
    const y = right[index]!
    if (Object.is(x, y) || x === y) continue
    if (!(Math.abs(x - y) <= PROBE_TOLERANCE.absolute + PROBE_TOLERANCE.relative * Math.abs(x))) return false
  }
  return true
}

/** Cost according to the runs that compared rows. @param times microseconds by number of rows */
function costOf(times: ReadonlyMap<number, number>, batchable: boolean): Cost {
  const oneUs = times.get(1) ?? 0
  const threeUs = times.get(3)
  return batchable && threeUs !== undefined ? fitCost({ rows: 1, us: oneUs }, { rows: 3, us: threeUs }) : { fixedUs: oneUs, perRowUs: 0 }
}

/** Times runs of one row and, for batchable models, of many: the fastest of a few counts, as noise only adds time. */
async function timeRuns(options: ProbeOptions, batchable: boolean): Promise<Cost> {
  const deadline = performance.now() + TIMING_BUDGET_MS
  const best = async (rows: number): Promise<number> => {
    let bestUs = Number.POSITIVE_INFINITY
    for (let attempt = 0; attempt < 10 && (attempt < 2 || performance.now() < deadline); attempt++) {
      const { computeUs } = await options.instance.run(options.sample(rows), options.outputs)
      bestUs = Math.min(bestUs, computeUs)
    }
    return bestUs
  }
  const one = { rows: 1, us: await best(1) }
  const manyRows = Math.min(options.maxBatchSize, one.us > SLOW_ROW_US ? 4 : 16)
  if (!batchable || manyRows < 2) return { fixedUs: one.us, perRowUs: 0 }
  // The model may refuse more rows than the probe used: then only the cost of a single row is known.
  const many = await best(manyRows).catch(() => undefined)
  return many === undefined ? { fixedUs: one.us, perRowUs: 0 } : fitCost(one, { rows: manyRows, us: many })
}
