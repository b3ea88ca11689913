import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { SlipwayError } from '../../src/core/errors.ts'
import { elementCount } from '../../src/tensor/tensor.ts'
import type { RunResult } from '../../src/engine/instance.ts'
import type { Runner } from '../../src/serving/scheduler/scheduler.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

/** A row with this value is refused by the model, and its whole batch with it. */
export const POISON = -666

export const OUTPUTS: readonly string[] = ['y', 'sum', 'text']

/** Rows of numbers and one text each, as a model would get them. */
export function rowsOf(values: readonly (readonly number[])[], width: number): Tensor[] {
  return [
    { name: 'x', datatype: 'FP32', shape: [values.length, width], data: Float32Array.from(values.flat()) },
    { name: 't', datatype: 'BYTES', shape: [values.length], data: values.map((row) => `t${row[0] ?? ''}`) },
  ]
}

/** The model: per row, twice its numbers, their sum, and its text twice. One that mixes rows adds the sum of all rows to each. */
export function compute(inputs: readonly Tensor[], outputs: readonly string[], mixesRows = false): Tensor[] {
  const [x, t] = inputs
  assert.ok(x !== undefined && t !== undefined)
  const [rows = 0, width = 0] = x.shape
  const values = x.data as Float32Array
  assert.equal(values.length, elementCount(x.shape))
  assert.deepEqual(t.shape, [rows])
  assert.equal(t.data.length, rows)
  if (values.includes(POISON)) throw new SlipwayError('SLW_RUN_REJECTED', 'a poisoned row')
  const total = mixesRows ? values.reduce((sum, value) => sum + value, rows) : 0
  const sums = Array.from({ length: rows }, (_, row) =>
    values.subarray(row * width, (row + 1) * width).reduce((sum, value) => sum + value, 0),
  )
  const all: Record<string, Tensor> = {
    y: { name: 'y', datatype: 'FP32', shape: [rows, width], data: values.map((value) => 2 * value + total) },
    sum: { name: 'sum', datatype: 'INT64', shape: [rows], data: BigInt64Array.from(sums, BigInt) },
    text: { name: 'text', datatype: 'BYTES', shape: [rows, 2], data: (t.data as string[]).flatMap((text) => [text, text]) },
  }
  return outputs.map((name) => all[name]!)
}

export interface FakeRunnerOptions {
  /** Turns of the event loop that a run takes. Default: none. */
  readonly turns?: () => number
  readonly mixesRows?: boolean
  /** Whether the instance ends under this run. Default: never. */
  readonly fails?: () => boolean
  /** Runs wait here first. Default: nothing to wait for. */
  readonly gate?: () => Promise<unknown>
  /** Instead of what the model answers. */
  readonly answer?: (inputs: readonly Tensor[], outputs: readonly string[]) => Tensor[]
}

/** An instance that runs the model of {@link compute}, one run at a time. */
export class FakeRunner implements Runner {
  readonly #options: FakeRunnerOptions
  /** Rows of each run, in order. */
  readonly runs: number[] = []
  available = true

  constructor(options: FakeRunnerOptions = {}) {
    this.#options = options
  }

  async run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<RunResult> {
    assert.ok(this.available, 'a busy instance was given a run')
    this.available = false
    const { answer, fails, gate, mixesRows, turns } = this.#options
    try {
      this.runs.push(inputs[0]!.shape[0]!)
      await gate?.()
      for (let left = turns?.() ?? 0; left > 0; left--) await turn()
      if (fails?.() === true) throw new SlipwayError('SLW_INSTANCE_FAILED', 'the instance ended', { retryAfterMs: 1000 })
      return { outputs: answer?.(inputs, outputs) ?? compute(inputs, outputs, mixesRows), computeUs: 100 }
    } finally {
      this.available = true
    }
  }
}
