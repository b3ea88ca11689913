/** The classification extension of Triton (its docs/protocol/extension_classification.md): an output as its largest values, with their labels. */
import { SlipwayError } from '../../core/errors.ts'
import { bfloatToNumber, halfToNumber } from '../../tensor/half.ts'
import { elementCount } from '../../tensor/tensor.ts'
import type { Label, Signature } from '../../signature/signature.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Parameters, V2Request } from './types.ts'

/** Labels of the elements of a row, for the outputs that have some. */
export type ClassLabels = ReadonlyMap<string, readonly Label[]>

export interface ClassNames {
  /** Whether dim 0 of outputs counts rows: the classes of each are its own. */
  readonly hasRows: boolean
  readonly labels: ClassLabels
}

/** What of a signature classifications are made with. */
export function classNamesOf({ answer, hasRows, labels: fromFiles }: Pick<Signature, 'answer' | 'hasRows' | 'labels'>): ClassNames {
  const { task } = answer
  const output = task === 'classification' ? answer.probabilities : task === 'ranking' ? answer.scores : undefined
  const own = task === 'classification' || task === 'ranking' ? answer.labels : undefined
  const labels = new Map<string, readonly Label[]>(fromFiles)
  if (output !== undefined && own !== undefined) labels.set(output, own)
  return { hasRows, labels }
}

/**
 * How many classes a requested output asks for; undefined where it asks for the values.
 * @throws SLW_BAD_REQUEST
 */
export function classCountOf({ classification }: Parameters, where: string): number | undefined {
  if (classification === undefined) return undefined
  const count = Number(classification)
  if (typeof classification !== 'boolean' && typeof classification !== 'string' && Number.isSafeInteger(count) && count > 0) return count
  throw new SlipwayError(
    'SLW_BAD_REQUEST',
    `${where}: parameter "classification": expected the number of classes, 1 or more, got ${typeof classification === 'bigint' ? classification : JSON.stringify(classification)}`,
  )
}

/**
 * The largest values of each row of an output, as `value:index` or `value:index:label`, the largest first; of equal ones the one with the
 * smaller index. Values are written as Triton does: numbers with a fraction with six digits after the point. NaN comes last.
 * @returns BYTES of shape [rows, n], or [n] where outputs have no rows; n is at most the elements of a row
 * @throws SLW_BAD_REQUEST for an output that is no numbers
 */
export function classify(output: Tensor, count: number, { hasRows, labels }: ClassNames): Tensor {
  const { name, datatype, shape, data } = output
  if (Array.isArray(data) || datatype === 'BOOL')
    throw new SlipwayError('SLW_BAD_REQUEST', `outputs: "${name}" is ${datatype}; a classification needs numbers`)
  const isOfRows = hasRows && shape.length > 0
  const rows = isOfRows ? shape[0]! : 1
  const width = elementCount(isOfRows ? shape.slice(1) : shape)
  const classes = Math.min(count, width)
  const own = labels.get(name)
  const write = WRITERS[datatype] ?? ((value: number | bigint) => String(value))
  const read = READERS[datatype]
  const texts: string[] = []
  for (let row = 0; row < rows; row++) {
    const values = data.subarray(row * width, (row + 1) * width)
    const numbers: ArrayLike<number | bigint> = read === undefined ? values : Float64Array.from(values as Uint16Array, read)
    for (const index of largest(numbers, classes)) {
      const label = own?.[index]
      texts.push(`${write(numbers[index]!)}:${index}${label === undefined ? '' : `:${label}`}`)
    }
  }
  return { name, datatype: 'BYTES', shape: isOfRows ? [rows, classes] : [classes], data: texts }
}

/** The outputs of an answer, those that are asked for as classes as such. @throws as {@link classify} */
export function classified(outputs: readonly Tensor[], { outputs: asked }: Pick<V2Request, 'outputs'>, names: ClassNames): Tensor[] {
  return outputs.map((output, index) => {
    const count = classCountOf(asked?.[index]?.parameters ?? NO_PARAMETERS, output.name)
    return count === undefined ? output : classify(output, count, names)
  })
}

const NO_PARAMETERS: Parameters = {}

/** Values of types that are kept as bits. */
const READERS: Partial<Record<Tensor['datatype'], (bits: number) => number>> = { FP16: halfToNumber, BF16: bfloatToNumber }
const WRITERS: Partial<Record<Tensor['datatype'], (value: number | bigint) => string>> = {
  FP64: fixed,
  FP32: fixed,
  FP16: fixed,
  BF16: fixed,
}

/** As C writes a double by `%f`. */
function fixed(value: number | bigint): string {
  const number = Number(value)
  if (Number.isNaN(number)) return 'nan'
  if (!Number.isFinite(number)) return number > 0 ? 'inf' : '-inf'
  // Beyond that `toFixed` writes an exponent; such a number has no fraction.
  return Math.abs(number) < 1e21 ? (Object.is(number, -0) ? '-' : '') + number.toFixed(6) : `${BigInt(number)}.000000`
}

/** Indices of the `count` largest values, the largest first. */
function largest(values: ArrayLike<number | bigint>, count: number): number[] {
  const before = (a: number, b: number): boolean => {
    const [x, y] = [values[a]!, values[b]!]
    return x > y || (x === y ? a < b : isNan(y) && (!isNan(x) || a < b))
  }
  // A heap whose root is the least of those that were kept, so that a few of many are found in one pass.
  const heap: number[] = []
  const sink = (from: number): void => {
    for (let at = from; ;) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < heap.length && before(heap[least]!, heap[child]!)) least = child
      if (least === at) return
      ;[heap[at], heap[least]] = [heap[least]!, heap[at]!]
      at = least
    }
  }
  for (let index = 0; index < values.length; index++) {
    if (heap.length < count) {
      heap.push(index)
      if (heap.length === count) for (let at = count >> 1; at >= 0; at--) sink(at)
    } else if (count > 0 && before(index, heap[0]!)) {
      heap[0] = index
      sink(0)
    }
  }
  return heap.toSorted((a, b) => (before(a, b) ? -1 : 1))
}

function isNan(value: number | bigint): boolean {
  return typeof value === 'number' && Number.isNaN(value)
}
