import { concatRows, sliceRows } from '../../tensor/tensor.ts'
import { filledBytes, groupRows, joinRows, lengthKey, pickRows } from './ragged.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { WorkResult } from './queue.ts'
import type { Ragged } from './ragged.ts'

/** A request in parts, each for a run of its own. */
export interface Division<Request> {
  /** Rows of each part. */
  readonly counts: readonly number[]
  /** Makes a part; called when its turn comes. */
  readonly part: (index: number) => Request
  readonly join: (parts: readonly WorkResult[]) => WorkResult
  /** Bytes of the outputs that are joined beyond those of the parts. */
  readonly filledBytes: (parts: readonly WorkResult[]) => number
}

/** The part of a request that is divided. */
interface Divisible {
  readonly inputs: readonly Tensor[]
  readonly rows: number
  readonly key: string
  readonly ragged?: Ragged | undefined
}

/** Rows in their order, as many in each part as a run may have. */
export function divideEvenly<Request extends Divisible>(request: Request, rowsMax: number): Division<Request> {
  const { inputs, rows } = request
  const counts = Array.from({ length: Math.ceil(rows / rowsMax) }, (_, index) => Math.min(rowsMax, rows - index * rowsMax))
  return {
    counts,
    part: (index) => {
      const start = index * rowsMax
      const stop = start + counts[index]!
      return { ...request, rows: stop - start, inputs: inputs.map((tensor) => sliceRows(tensor, start, stop)) }
    },
    join: (parts) => joined(parts, (outputs) => concatRows(outputs)),
    filledBytes: () => 0,
  }
}

/** Rows of like lengths together, so that a short one does not pay for a long one. */
export function divideRagged<Request extends Divisible>(request: Request, ragged: Ragged, rowsMax: number): Division<Request> {
  const { inputs, key } = request
  const { lengths, padding } = ragged
  const groups = groupRows(ragged, rowsMax)
  return {
    counts: groups.map((group) => group.length),
    part: (index) => {
      const group = groups[index]!
      const longest = group.reduce((most, row) => Math.max(most, lengths[row]!), 0)
      const ownKey = `${key}|${lengthKey(longest, padding)}`
      if (groups.length === 1) return { ...request, key: ownKey }
      const picked = inputs.map((tensor) => pickRows(tensor, group, longest, padding.side))
      return {
        ...request,
        rows: group.length,
        key: ownKey,
        inputs: picked,
        ragged: { padding, lengths: group.map((row) => lengths[row]!) },
      }
    },
    join: (parts) => joined(parts, (outputs) => joinRows(outputs, groups, padding)),
    filledBytes: (parts) =>
      parts[0]!.outputs.reduce(
        (sum, _, index) =>
          sum +
          filledBytes(
            parts.map(({ outputs }) => outputs[index]!),
            padding,
          ),
        0,
      ),
  }
}

function joined(parts: readonly WorkResult[], join: (outputs: readonly Tensor[]) => Tensor): WorkResult {
  const first = parts[0]!
  return {
    outputs: first.outputs.map((_, index) => join(parts.map((part) => part.outputs[index]!))),
    queueMs: parts.reduce((most, part) => Math.max(most, part.queueMs), 0),
    batchWaitMs: parts.reduce((most, part) => Math.max(most, part.batchWaitMs), 0),
    computeMs: parts.reduce((sum, part) => sum + part.computeMs, 0),
  }
}
