import { parse } from 'yaml'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { isDatatype } from '../../tensor/datatype.ts'
import type { TensorSpec } from '../../tensor/tensor.ts'
import type { SignatureDocument, TensorDocument } from '../../contract/signature-document.ts'

/** Column types of MLflow (mlflow/types/schema.py), with their datatypes in the Open Inference Protocol. */
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

/** File that MLflow writes beside every model, whatever library wrote the model itself. */
export const MLMODEL_FILE = 'MLmodel'
/** Size limit of an `MLmodel` file: a larger one was not written by MLflow, and is not read into memory. */
export const MLMODEL_BYTES_MAX = 4 * 1024 * 1024

/** A model of scikit-learn as MLflow has written it: a Python object in a file, which runs code when it is loaded. */
export interface PythonModel {
  readonly format: 'pickle' | 'skops'
  /** Name of the model file, beside `MLmodel`. */
  readonly file: string
  /** Method that is called with the inputs, such as `predict_proba`. */
  readonly method: string
  /** Whether the method takes a table, with one column for each input, or one array. */
  readonly columns: boolean
  readonly sklearnVersion: string
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
}

interface Mlmodel {
  readonly signature?: { readonly inputs?: unknown; readonly outputs?: unknown } | null
  readonly flavors?: {
    readonly python_function?: { readonly predict_fn?: unknown }
    readonly sklearn?: { readonly pickled_model?: unknown; readonly serialization_format?: unknown; readonly sklearn_version?: unknown }
  }
}

/** Names for scalars and tensors that MLflow leaves without a name. */
const SIDES = { inputs: 'input', outputs: 'output' } as const

interface ColumnJson {
  readonly name?: string
  readonly type?: string
  readonly required?: boolean
  readonly 'tensor-spec'?: { readonly dtype?: string; readonly shape?: readonly number[] }
}

/**
 * The signature in an `MLmodel` file: YAML, in which inputs and outputs are JSON texts.
 * @returns undefined where the file has no readable signature: the version may be registered all the same
 */
export function readMlmodelSignature(text: string): SignatureDocument | undefined {
  try {
    const { signature } = parseMlmodel(text)
    const inputs = tensorsOf(columnsOf(signature?.inputs), 'inputs')
    const outputs = tensorsOf(columnsOf(signature?.outputs), 'outputs')
    return inputs.length === 0 && outputs.length === 0 ? undefined : { inputs, outputs }
  } catch {
    return undefined
  }
}

/**
 * Names of the columns that an `MLmodel` file says its model takes, in their order.
 * @returns undefined where it says nothing of the kind: it has tensors, or columns without names, or cannot be read
 */
export function readMlmodelColumns(text: string): readonly string[] | undefined {
  try {
    const columns = columnsOf(parseMlmodel(text).signature?.inputs)
    const names = columns.filter((column) => column['tensor-spec'] === undefined).map(({ name }) => name)
    const named = names.filter((name) => name !== undefined)
    return named.length > 0 && named.length === columns.length ? named : undefined
  } catch {
    return undefined
  }
}

/**
 * The scikit-learn model that an `MLmodel` file describes; the model itself is not opened.
 * @throws SLW_MODEL_UNSUPPORTED for a model that the sandboxed worker cannot run, with the reason
 */
export function readPythonModel(text: string): PythonModel {
  let document: Mlmodel
  let columns: readonly ColumnJson[]
  let results: readonly ColumnJson[]
  try {
    document = parseMlmodel(text)
    columns = columnsOf(document.signature?.inputs)
    results = columnsOf(document.signature?.outputs)
  } catch (error) {
    throw unsupported(`${MLMODEL_FILE} cannot be read: ${messageOf(error)}`)
  }
  const { sklearn, python_function: asFunction } = document.flavors ?? {}
  if (sklearn === undefined)
    throw unsupported(
      `the flavours that ${MLMODEL_FILE} names (${Object.keys(document.flavors ?? {}).join(', ')}) are run by no server; export the model to ONNX`,
    )
  const { pickled_model: file = 'model.pkl', serialization_format: format = 'pickle', sklearn_version: sklearnVersion } = sklearn
  if (typeof file !== 'string' || !/^[^/\\\0]+$/.test(file) || file.startsWith('.'))
    throw unsupported(`${MLMODEL_FILE}: pickled_model names no file beside it`)
  if (format !== 'pickle' && format !== 'cloudpickle' && format !== 'skops')
    throw unsupported(`${MLMODEL_FILE}: serialization_format ${JSON.stringify(format)} is none of pickle, cloudpickle, skops`)
  if (typeof sklearnVersion !== 'string') throw unsupported(`${MLMODEL_FILE}: sklearn_version is missing`)
  if (columns.length === 0 || results.length === 0)
    throw unsupported(
      `${MLMODEL_FILE} has no signature, so nobody knows what the model takes and gives; log it with signature=infer_signature(X, model.predict(X))`,
    )
  // A list or series of texts has one column without a name, and is passed as an array.
  const asTable = columns[0]!['tensor-spec'] === undefined && (columns.length > 1 || columns[0]!.name !== undefined)
  for (const { name = 'a column', type = '' } of [...columns, ...results])
    if (type === 'binary' || type === 'datetime')
      throw unsupported(`${MLMODEL_FILE}: "${name}" is a ${type}, which the sandbox does not make for models`)
  if (columns[0]!['tensor-spec'] !== undefined && columns.length > 1)
    throw unsupported(`${MLMODEL_FILE}: a model of scikit-learn takes one array, the signature has ${columns.length}`)
  const method = asFunction?.predict_fn
  return {
    format: format === 'skops' ? 'skops' : 'pickle',
    file,
    method: typeof method === 'string' ? method : 'predict',
    columns: asTable,
    sklearnVersion,
    inputs: tensorsOf(columns, 'inputs').map(specOf),
    outputs: tensorsOf(results, 'outputs').map(specOf),
  }
}

function unsupported(message: string): SlipwayError {
  return new SlipwayError('SLW_MODEL_UNSUPPORTED', message)
}

function specOf({ name, datatype, shape }: TensorDocument): TensorSpec {
  if (!isDatatype(datatype)) throw unsupported(`"${name}" is ${datatype}, which is no tensor`)
  return { name, datatype, shape, dimensionNames: shape.map(() => undefined) }
}

function parseMlmodel(text: string): Mlmodel {
  return (parse(text, { maxAliasCount: 10 }) ?? {}) as Mlmodel
}

function columnsOf(json: unknown): readonly ColumnJson[] {
  return typeof json === 'string' ? (JSON.parse(json) as readonly ColumnJson[]) : []
}

function tensorsOf(columns: readonly ColumnJson[], side: keyof typeof SIDES): TensorDocument[] {
  return columns.map((column, index) => {
    const { name = index === 0 ? SIDES[side] : `${SIDES[side]}_${index}`, type = 'any', required = true } = column
    const tensor = column['tensor-spec']
    if (tensor !== undefined) return { name, datatype: tensorType(tensor.dtype ?? ''), shape: [...(tensor.shape ?? [])] }
    return { name, datatype: COLUMNS[type] ?? type, shape: [-1], ...(!required && { optional: true }) }
  })
}

/** Datatype of a NumPy dtype; `int64` or `uint8` are only put in capitals. */
function tensorType(dtype: string): string {
  return TENSORS[dtype] ?? (dtype.startsWith('<U') ? 'BYTES' : dtype.toUpperCase())
}
