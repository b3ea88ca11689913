/**
 * Rows of different lengths, as texts are. Works whose rows are of about the same length share a run, in which the shorter are filled up;
 * what comes of a row is cut to its own length again, so that an answer does not show who was in the run with it.
 */
import { datatypeInfo } from '../../tensor/datatype.ts'
import { allocate, elementCount, setNumber } from '../../tensor/tensor.ts'
import type { TypedTensorData } from '../../tensor/datatype.ts'
import type { Tensor } from '../../tensor/tensor.ts'

/** How the rows of a model are filled up. */
export interface RowPadding {
  /** What fills up each input, in the order of the inputs. */
  readonly fillings: readonly number[]
  readonly side: 'left' | 'right'
  /** Outputs that have something for each token: axis 1 is as long as that of the inputs. */
  readonly perToken: ReadonlySet<string>
  /** Whether filled up rows are answered as they would be alone. Otherwise rows of different lengths share no run. */
  readonly pads: boolean
}

/** Rows of a request: tensors of `[rows, length]`, in which each row has so many elements that count. */
export interface Ragged {
  readonly lengths: readonly number[]
  readonly padding: RowPadding
}

/**
 * The largest length of the bucket of a length: 8, 12, 16, 24, 32, 48, 64, ... A row is filled up by a third of the run at most, beyond
 * the first bucket.
 */
export function bucketOf(length: number): number {
  let bucket = 8
  while (bucket < length) bucket = (bucket & (bucket - 1)) === 0 ? bucket * 1.5 : (bucket * 4) / 3
  return bucket
}

/** Key of the works that a row of this length may share a run with. */
export function lengthKey(length: number, { pads }: RowPadding): string {
  return pads ? `~${bucketOf(length)}` : `=${length}`
}

/**
 * Rows of a request that share runs: each list has rows of one bucket, and no more than a run may have.
 * @param rowsMax rows of a run; 1 where rows are not independent
 * @returns one list in the order of the rows where all go into one run
 */
export function groupRows({ lengths, padding }: Ragged, rowsMax: number): (readonly number[])[] {
  const all = lengths.map((_, row) => row)
  const [first] = lengths
  const one = first === undefined ? '' : lengthKey(first, padding)
  if (lengths.length <= rowsMax && lengths.every((length) => lengthKey(length, padding) === one)) return [all]
  const groups: number[][] = []
  let key = ''
  for (const row of all.toSorted((a, b) => lengths[a]! - lengths[b]! || a - b)) {
    const own = lengthKey(lengths[row]!, padding)
    const last = groups.at(-1)
    if (last === undefined || own !== key || last.length === rowsMax) groups.push([row])
    else last.push(row)
    key = own
  }
  return groups
}

/** Some rows of a tensor, as long as the longest of them. */
export function pickRows(tensor: Tensor, rows: readonly number[], length: number, side: RowPadding['side']): Tensor {
  const [, whole = 0] = tensor.shape
  const data = allocate(tensor.datatype, rows.length * length) as TypedTensorData
  const from = tensor.data as Int32Array
  for (const [index, row] of rows.entries()) {
    const start = row * whole + (side === 'left' ? whole - length : 0)
    ;(data as Int32Array).set(from.subarray(start, start + length), index * length)
  }
  return { ...tensor, shape: [rows.length, length], data }
}

/** Joins the inputs of works, filled up to the longest. */
export function joinFilled(parts: readonly (readonly Tensor[])[], { fillings, side }: RowPadding): Tensor[] {
  const first = parts[0]!
  const longest = Math.max(...parts.map((inputs) => inputs[0]!.shape[1]!))
  const rows = parts.reduce((sum, inputs) => sum + inputs[0]!.shape[0]!, 0)
  return first.map(({ name, datatype }, input) => {
    const data = allocate(datatype, rows * longest) as TypedTensorData
    if (fillings[input] !== 0) {
      setNumber(data, datatype, 0, fillings[input]!)
      ;(data as Int32Array).fill(data[0] as number)
    }
    let at = side === 'left' ? longest : 0
    for (const inputs of parts) {
      const { shape, data: own } = inputs[input]!
      const [count = 0, length = 0] = shape
      for (let row = 0; row < count; row++) {
        ;(data as Int32Array).set((own as Int32Array).subarray(row * length, (row + 1) * length), side === 'left' ? at - length : at)
        at += longest
      }
    }
    return { name, datatype, shape: [rows, longest], data }
  })
}

/** An output with something for each token, cut to the tokens that its rows had before they were filled up. */
export function cutTokens(tensor: Tensor, length: number, side: RowPadding['side']): Tensor {
  const [rows = 0, whole = 0, ...rest] = tensor.shape
  if (whole <= length) return tensor
  const width = elementCount(rest)
  const shape = [rows, length, ...rest]
  if (rows === 1) {
    const start = side === 'left' ? (whole - length) * width : 0
    const { data } = tensor
    const end = start + length * width
    return { ...tensor, shape, data: Array.isArray(data) ? data.slice(start, end) : data.subarray(start, end) }
  }
  const data = allocate(tensor.datatype, rows * length * width)
  copyTokens(
    tensor,
    { data, length },
    Array.from({ length: rows }, (_, row) => row),
    side,
  )
  return { ...tensor, shape, data }
}

/** Joins outputs of parts of one request in the order of its rows; what is for each token is filled up with zeros. */
export function joinRows(parts: readonly Tensor[], groups: readonly (readonly number[])[], padding: RowPadding): Tensor {
  const first = parts[0]!
  const rows = groups.reduce((sum, group) => sum + group.length, 0)
  const perToken = isPerToken(parts, padding)
  const length = perToken ? longestOf(parts) : (first.shape[1] ?? 1)
  const shape = first.shape.length < 2 ? [rows] : [rows, length, ...first.shape.slice(2)]
  const data = allocate(first.datatype, elementCount(shape))
  for (const [index, part] of parts.entries()) copyTokens(part, { data, length }, groups[index]!, perToken ? padding.side : 'right')
  return { ...first, shape, data }
}

/** Bytes that `joinRows` fills up, beside those of the parts. */
export function filledBytes(parts: readonly Tensor[], padding: RowPadding): number {
  const first = parts[0]!
  if (!isPerToken(parts, padding)) return 0
  const longest = longestOf(parts)
  const tokens = parts.reduce((sum, { shape }) => sum + shape[0]! * (longest - (shape[1] ?? 1)), 0)
  const { bytes } = datatypeInfo(first.datatype)
  return tokens * elementCount(first.shape.slice(2)) * (bytes === 0 ? TEXT_BYTES : bytes)
}

/** An output whose parts are of different lengths is for each token, also where no run has shown that. */
function isPerToken(parts: readonly Tensor[], { perToken }: RowPadding): boolean {
  const first = parts[0]!
  return perToken.has(first.name) || parts.some(({ shape }) => shape[1] !== first.shape[1])
}

function longestOf(parts: readonly Tensor[]): number {
  return parts.reduce((most, { shape }) => Math.max(most, shape[1] ?? 1), 0)
}

/** What an empty text takes. */
const TEXT_BYTES = 8

/** Copies the rows of a tensor to their places in one of rows of another length. */
function copyTokens(from: Tensor, to: { data: Tensor['data']; length: number }, places: readonly number[], side: RowPadding['side']): void {
  const [, own = 1, ...rest] = from.shape
  const width = elementCount(rest)
  const shared = Math.min(own, to.length)
  const [skipped, filled] = side === 'left' ? [own - shared, to.length - shared] : [0, 0]
  for (const [row, place] of places.entries()) {
    const [start, into] = [(row * own + skipped) * width, (place * to.length + filled) * width]
    if (Array.isArray(from.data)) (to.data as string[]).splice(into, shared * width, ...from.data.slice(start, start + shared * width))
    // Both are of one datatype.
    else (to.data as Float32Array).set((from.data as Float32Array).subarray(start, start + shared * width), into)
  }
}
