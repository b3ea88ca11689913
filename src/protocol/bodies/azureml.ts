/** Bodies of Azure Machine Learning's online endpoints: those of deployments of MLflow models, of scoring scripts, and people's rows. */
import { inputInvalid } from '../../core/errors.ts'
import { requestOf, rowsRequest } from '../../signature/request.ts'
import { encodeWithin } from './encode-within.ts'
import { isObject, isTable, parseRows, rowsOfColumns, rowsOfRecords, rowsOfSplit } from './tables.ts'
import type { Encoded } from '../../signature/encode.ts'
import type { PeopleRequest } from '../../signature/request.ts'
import type { Signature } from '../../signature/signature.ts'
import type { JsonObject } from './tables.ts'
import type { Reading } from './types.ts'

/** A body of Azure Machine Learning, as tensors. */
export interface AzureRead extends Encoded {
  readonly many: boolean
  /** Whether a table or list was sent under a key of Azure's, so that a list is answered. */
  readonly list: boolean
}

const KEYS = ['input_data', 'data'] as const

/** @throws SLW_BAD_REQUEST, SLW_INPUT_INVALID, SLW_LIMIT_EXCEEDED */
export async function readAzure({ body, signature, limits }: Reading): Promise<AzureRead> {
  const root = parseRows(body, signature, limits)
  const key = isObject(root) ? KEYS.find((name) => Object.hasOwn(root, name) && !isNamed(signature, name)) : undefined
  const people = key === undefined ? requestOf(root, signature) : requestUnder(key, root as JsonObject, signature)
  return { ...(await encodeWithin(limits, signature, people)), many: people.many, list: key !== undefined }
}

function isNamed({ features, inputs }: Signature, name: string): boolean {
  return (features?.map(({ spec }) => spec.name) ?? inputs.map((input) => input.name)).includes(name)
}

function requestUnder(key: (typeof KEYS)[number], root: JsonObject, signature: Signature): PeopleRequest {
  const { [key]: value = null, params, ...rest } = root
  const unknown = Object.keys(rest)[0]
  if (unknown !== undefined) throw refused(unknown, `unknown key beside "${key}"`)
  const parameter = isObject(params) ? Object.keys(params)[0] : undefined
  if (parameter !== undefined) throw refused(`params.${parameter}`, 'the model takes no parameters')
  if (isObject(value)) {
    if (Array.isArray(value['data']) && !isNamed(signature, 'data'))
      return rowsRequest(rowsOfSplit(value, key, signature), `${key}.data`, signature)
    if (isTable(value, signature)) return rowsRequest(rowsOfRecords(rowsOfColumns(value, key), key, signature), key, signature)
    return rowsRequest(signature.hasRows ? rowsOfColumns(value, key) : [value], key, signature)
  }
  if (!Array.isArray(value)) throw refused(key, 'expected a table with "columns" and "data", a list of rows, or an object of columns')
  return rowsRequest(rowsOfRecords(value, key, signature), key, signature)
}

function refused(path: string, message: string): Error {
  return inputInvalid([{ path, message }], 'SLW_BAD_REQUEST')
}
