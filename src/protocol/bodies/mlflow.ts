/** Bodies of MLflow's scoring server (mlflow/pyfunc/scoring_server, MLflow 3): a table or tensors, in one of four forms of JSON or as CSV. */
import { inputInvalid, SlipwayError } from '../../core/errors.ts'
import { csvText, rowsFromCsv } from '../../signature/csv.ts'
import { rowsRequest } from '../../signature/request.ts'
import { encodeWithin } from './encode-within.ts'
import { isObject, isTable, parseRows, rowsOfColumns, rowsOfRecords, rowsOfSplit } from './tables.ts'
import type { Encoded } from '../../signature/encode.ts'
import type { Signature } from '../../signature/signature.ts'
import type { JsonValue } from '../../tensor/json-reader.ts'
import type { JsonObject } from './tables.ts'
import type { Reading } from './types.ts'

/** A body of MLflow, as tensors. */
export interface MlflowRead extends Encoded {
  /** Whether a table was sent, so that a table is answered; otherwise arrays were. */
  readonly table: boolean
}

const FORMS = ['dataframe_split', 'dataframe_records', 'instances', 'inputs'] as const
const TYPES = ['application/json', 'text/csv']
/** Keys of bodies for language models, which go unwrapped to the model there. */
const OF_LANGUAGE_MODELS = ['messages', 'prompt', 'input']

/** @throws SLW_UNSUPPORTED_MEDIA_TYPE, SLW_BAD_REQUEST, SLW_INPUT_INVALID, SLW_LIMIT_EXCEEDED */
export async function readMlflow({ body, header, signature, limits }: Reading): Promise<MlflowRead> {
  const type = typeOf(header)
  const { rows, path, table } =
    type === 'text/csv'
      ? { rows: rowsFromCsv(csvText(body), signature, limits.rows), path: 'rows', table: true }
      : rowsOfJson(parseRows(body, signature, limits), signature)
  return { ...(await encodeWithin(limits, signature, rowsRequest(rows, path, signature))), table }
}

/** @throws SLW_UNSUPPORTED_MEDIA_TYPE */
function typeOf(header: string | undefined): string {
  const [type = '', ...parameters] = (header ?? '').split(';').map((part) => part.trim())
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=')
    if (name !== 'charset') throw unsupported(`Content-Type parameter "${name}" is not read; there is charset`)
    if (value.toLowerCase() !== 'utf-8') throw unsupported(`charset "${value}" is not read; send UTF-8`)
  }
  if (TYPES.includes(type)) return type
  throw unsupported(`Content-Type "${type}" is not one of ${TYPES.join(', ')}`)
}

function unsupported(message: string): SlipwayError {
  return new SlipwayError('SLW_UNSUPPORTED_MEDIA_TYPE', message)
}

function rowsOfJson(root: JsonValue, signature: Signature): { rows: readonly unknown[]; path: string; table: boolean } {
  const wanted = `an object with exactly one of ${FORMS.join(', ')}`
  if (!isObject(root)) throw new SlipwayError('SLW_BAD_REQUEST', `expected ${wanted}, found ${Array.isArray(root) ? 'a list' : 'a value'}`)
  const found = FORMS.filter((form) => Object.hasOwn(root, form))
  const [form] = found
  if (form === undefined || found.length > 1) {
    const key = OF_LANGUAGE_MODELS.find((name) => Object.hasOwn(root, name))
    if (key !== undefined) throw refused(key, `is for language models, and this one takes rows: send ${wanted}`)
    throw new SlipwayError('SLW_BAD_REQUEST', `expected ${wanted}, found ${Object.keys(root).slice(0, 8).join(', ') || 'none'}`)
  }
  refuseParams(root['params'])
  const value = root[form]!
  switch (form) {
    case 'dataframe_split':
      return { rows: rowsOfSplit(value, form, signature), path: `${form}.data`, table: true }
    case 'dataframe_records':
      return { rows: rowsOfRecords(value, form, signature), path: form, table: true }
    case 'instances':
      if (!Array.isArray(value)) throw refused(form, 'expected a list with an entry for each row')
      if (isTable(value[0], signature)) return { rows: rowsOfRecords(value, form, signature), path: form, table: true }
      return { rows: value, path: form, table: false }
    case 'inputs':
      if (isTable(value, signature) && isObject(value))
        return { rows: rowsOfRecords(rowsOfColumns(value, form), form, signature), path: form, table: true }
      return { rows: rowsOfInputs(value, signature), path: form, table: false }
  }
}

function rowsOfInputs(value: JsonValue, signature: Signature): readonly JsonValue[] {
  if (!signature.hasRows) return [value]
  if (isObject(value)) return rowsOfColumns(value, 'inputs')
  return Array.isArray(value) ? value : [value]
}

/** Parameters that a model does not know would change nothing, and nobody would notice. */
function refuseParams(params: JsonValue | undefined): void {
  if (params === undefined || params === null) return
  if (!isObject(params)) throw refused('params', 'expected an object')
  const [name] = Object.keys(params as JsonObject)
  if (name !== undefined) throw refused(`params.${name}`, 'the model takes no parameters')
}

function refused(path: string, message: string): SlipwayError {
  return inputInvalid([{ path, message }], 'SLW_BAD_REQUEST')
}
