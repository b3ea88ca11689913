/** Answers of TensorFlow Serving's REST API (tensorflow/serving, g3doc/api_rest.md and util/json_tensor.cc). */
import { SlipwayError } from '../../core/errors.ts'
import { decodeAnswers } from '../../signature/answer.ts'
import { elementAt, formatShape } from '../../tensor/tensor.ts'
import type { Signature } from '../../signature/signature.ts'
import type { Tensor } from '../../tensor/tensor.ts'

export type TensorFlowMethod = 'predict' | 'classify' | 'regress'

export interface TensorFlowAnswer {
  readonly method: TensorFlowMethod
  /** Whether the rows of a prediction come one by one, or each output as a whole. */
  readonly byRow: boolean
  /** See `BatchRead`. */
  readonly bare: boolean
  readonly signature: Signature
  readonly outputs: readonly Tensor[]
  readonly rows: number
}

/** @throws SLW_BAD_REQUEST for outputs that have no rows, where rows are asked for */
export function writeTensorFlow({ method, byRow, bare, signature, outputs, rows }: TensorFlowAnswer): string {
  if (method === 'classify') return `{"results":[${decodeAnswers(signature, outputs, [], rows).map(classesOf).join(',')}]}`
  if (method === 'regress') return `{"results":[${regressionOf(outputs, rows).join(',')}]}`
  const shown = bare ? outputs.map(withoutOnes) : outputs
  if (byRow) return `{"predictions":[${rowsOf(shown).join(',')}]}`
  const [only] = shown
  const named = shown.map((tensor) => `${JSON.stringify(tensor.name)}:${nest(tensor, 0, 0).text}`)
  return `{"outputs":${shown.length === 1 && only !== undefined ? nest(only, 0, 0).text : `{${named.join(',')}}`}}`
}

/** Labels with their scores: `[["basic",0.9],["pro",0.1]]`. */
function classesOf({ probabilities }: Readonly<Record<string, unknown>>): string {
  const classes = Object.entries(probabilities as Readonly<Record<string, number>>)
  return `[${classes.map(([label, score]) => `[${JSON.stringify(label)},${decimal(score, false)}]`).join(',')}]`
}

function regressionOf([output]: readonly Tensor[], rows: number): string[] {
  return Array.from({ length: rows }, (_, row) => element(output!, row))
}

/** An output of one column as values by themselves. */
function withoutOnes(tensor: Tensor): Tensor {
  const [rows, ...row] = tensor.shape
  return rows !== undefined && row.length > 0 && row.every((size) => size === 1) ? { ...tensor, shape: [rows] } : tensor
}

function rowsOf(outputs: readonly Tensor[]): string[] {
  const rows = outputs[0]?.shape[0]
  const odd = outputs.find(({ shape }) => shape[0] === undefined || shape[0] !== rows)
  if (odd !== undefined)
    throw new SlipwayError(
      'SLW_BAD_REQUEST',
      `output "${odd.name}" has shape ${formatShape(odd.shape)}, of which no rows can be made; send "inputs" instead of "instances" for whole outputs`,
    )
  const ends = outputs.map(() => 0)
  return Array.from({ length: rows ?? 0 }, () => {
    const values = outputs.map((tensor, index) => {
      const { text, end } = nest(tensor, 1, ends[index]!)
      ends[index] = end
      return text
    })
    if (outputs.length === 1) return values[0]!
    return `{${outputs.map(({ name }, index) => `${JSON.stringify(name)}:${values[index]}`).join(',')}}`
  })
}

/** The values below `axis` from `start` on, as nested lists; and where they end. */
function nest(tensor: Tensor, axis: number, start: number): { readonly text: string; readonly end: number } {
  const length = tensor.shape[axis]
  if (length === undefined) return { text: element(tensor, start), end: start + 1 }
  const texts: string[] = []
  let end = start
  const isLast = axis === tensor.shape.length - 1
  for (let index = 0; index < length; index++) {
    if (isLast) texts.push(element(tensor, end++))
    else {
      const inner = nest(tensor, axis + 1, end)
      texts.push(inner.text)
      end = inner.end
    }
  }
  return { text: `[${texts.join(',')}]`, end }
}

function element(tensor: Tensor, index: number): string {
  const value = elementAt(tensor, index)
  switch (tensor.datatype) {
    case 'BYTES':
      // Texts of outputs whose name says so are bytes, for which JSON has no form.
      return tensor.name.endsWith('_bytes') ? `{"b64":"${Buffer.from(String(value)).toString('base64')}"}` : JSON.stringify(value)
    case 'FP64':
      return decimal(value as number, false)
    case 'FP32':
    case 'FP16':
    case 'BF16':
      return decimal(value as number, true)
    default:
      return String(value)
  }
}

/**
 * A float as TensorFlow Serving writes it: six digits where they are the number, else all of its own; with a point, so that clients take
 * no list for one of integers; NaN and the infinities as bare words.
 */
function decimal(value: number, single: boolean): string {
  if (!Number.isFinite(value)) return String(value)
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const short = Number(value.toPrecision(6))
  const isExact = single ? Math.fround(short) === value : short === value
  const shown = isExact ? short : single ? Number(value.toPrecision(9)) : value
  const text = String(shown)
  return /[.e]/.test(text) ? text : `${text}.0`
}
