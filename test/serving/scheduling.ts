import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { SERVING_DEFAULTS } from '../../src/contract/serving-options.ts'
import { isSlipwayError } from '../../src/core/errors.ts'
import { Scheduler } from '../../src/serving/scheduler/scheduler.ts'
import { ManualClock } from '../core/manual-clock.ts'
import { compute, OUTPUTS, POISON, rowsOf } from './fake-runner.ts'
import type { ErrorCode, SlipwayError } from '../../src/core/errors.ts'
import type { Runner, SchedulerOptions, WorkRequest, WorkResult } from '../../src/serving/scheduler/scheduler.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

type Settings = Partial<Omit<SchedulerOptions, 'serving' | 'clock'>> & {
  readonly runners: readonly Runner[]
  readonly clock?: ManualClock
  readonly serving?: Partial<SchedulerOptions['serving']>
}
type Batch = Parameters<SchedulerOptions['onBatch']>[0]

/** A scheduler with a clock that stands still, and the batches that it told of. */
export function setUp({ clock = new ManualClock(), ...settings }: Settings) {
  const batches: Batch[] = []
  const scheduler = new Scheduler({
    name: 'm/v1',
    inline: undefined,
    batchable: true,
    cost: undefined,
    clock,
    onBatch: (batch) => batches.push(batch),
    ...settings,
    serving: { ...SERVING_DEFAULTS, latencyGoalMs: undefined, queueTimeoutUs: undefined, ...settings.serving },
  })
  return { scheduler, clock, batches }
}

export interface Outcome {
  settled: number
  error?: SlipwayError
  result?: WorkResult
}

let nextValue = 0

/** A request of so many rows, whose numbers no other request has. */
export function request(
  rows: number,
  more: Partial<WorkRequest> & { readonly width?: number; readonly poisonedRow?: number } = {},
): WorkRequest {
  const { poisonedRow, width = 2, ...rest } = more
  nextValue %= 1000
  const values = Array.from({ length: rows }, (_, row) => Array.from({ length: width }, () => (row === poisonedRow ? POISON : nextValue++)))
  return {
    inputs: rowsOf(values, width),
    outputs: OUTPUTS,
    rows,
    key: String(width),
    priority: 0,
    deadlineMs: Number.POSITIVE_INFINITY,
    ...rest,
  }
}

export function submit(scheduler: Scheduler, work: WorkRequest): Outcome & { cancel: () => void } {
  const outcome: Outcome & { cancel: () => void } = { settled: 0, cancel: () => {} }
  outcome.cancel = scheduler.enqueue(work, (error, result) => {
    outcome.settled++
    if (error !== undefined) outcome.error = error
    if (result !== undefined) outcome.result = result
  })
  return outcome
}

export async function turns(count = 20): Promise<void> {
  for (let left = count; left > 0; left--) await turn()
}

export function plain(tensors: readonly Tensor[]): unknown {
  return tensors.map(({ name, datatype, shape, data }) => ({ name, datatype, shape: [...shape], values: [...data] }))
}

export function assertAnswered(outcome: Outcome, work: WorkRequest): void {
  assert.equal(outcome.settled, 1)
  assert.equal(outcome.error, undefined)
  assert.deepEqual(plain(outcome.result!.outputs), plain(compute(work.inputs, work.outputs)))
}

export const refused =
  (code: ErrorCode, more: RegExp = /./) =>
  (error: unknown): boolean =>
    isSlipwayError(error) && error.code === code && more.test(error.message)
