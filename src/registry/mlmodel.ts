import { parse } from 'yaml'
import type { SignatureDocument, TensorDocument } from '../contract/signature-document.ts'

/** Types of columns in MLflow's words (mlflow/types/schema.py), in those of the Open Inference Protocol. */
const COLUMNS: Readonly<Record<string, string>> = {
  boolean: 'BOOL',
  integer: 'INT32',
  long: 'INT64',
  float: 'FP32',
  double: 'FP64',
  string: 'BYTES',
  binary: 'BYTES',
  datetime: 'BYTES',
}
const TENSORS: Readonly<Record<string, string>> = {
  bool: 'BOOL',
  float16: 'FP16',
  float32: 'FP32',
  float64: 'FP64',
  object: 'BYTES',
  str: 'BYTES',
}

interface ColumnJson {
  readonly name?: string
  readonly type?: string
  readonly required?: boolean
  readonly 'tensor-spec'?: { readonly dtype?: string; readonly shape?: readonly number[] }
}

/**
 * The signature in an `MLmodel` file: YAML, in which inputs and outputs are texts of JSON.
 * @returns undefined where it has none, or one that cannot be read: a version may be registered all the same
 */
export function readMlmodelSignature(text: string): SignatureDocument | undefined {
  try {
    const { signature } = (parse(text, { maxAliasCount: 10 }) ?? {}) as { signature?: { inputs?: unknown; outputs?: unknown } | null }
    const inputs = tensorsOf(signature?.inputs)
    const outputs = tensorsOf(signature?.outputs)
    return inputs.length === 0 && outputs.length === 0 ? undefined : { inputs, outputs }
  } catch {
    return undefined
  }
}

function tensorsOf(json: unknown): TensorDocument[] {
  if (typeof json !== 'string') return []
  return (JSON.parse(json) as readonly ColumnJson[]).map((column, index) => {
    const { name = index === 0 ? 'input' : `input_${index}`, type = 'any', required = true } = column
    const tensor = column['tensor-spec']
    if (tensor !== undefined) return { name, datatype: tensorType(tensor.dtype ?? ''), shape: [...(tensor.shape ?? [])] }
    return { name, datatype: COLUMNS[type] ?? type, shape: [-1], ...(!required && { optional: true }) }
  })
}

/** `int64`, `uint8`: as they are, in capitals. */
function tensorType(dtype: string): string {
  return TENSORS[dtype] ?? (dtype.startsWith('<U') ? 'BYTES' : dtype.toUpperCase())
}
