import { SlipwayError } from '../../core/errors.ts'
import { parseJson } from '../../tensor/json-reader.ts'
import type { JsonValue } from '../../tensor/json-reader.ts'
import type { Exchange } from './exchange.ts'

/** How deep the objects nest that calls other than predictions have. */
const NESTING = 8

export type JsonObject = Readonly<Record<string, JsonValue>>

/** The body as a JSON object; an empty body and null are an empty one. @throws SLW_BAD_REQUEST, and as `Exchange.readBody` */
export async function readObject(exchange: Exchange): Promise<JsonObject> {
  const body = await exchange.readBody()
  return body.length === 0 ? {} : objectOf(parseJson(body, { nesting: NESTING }), 'the body')
}

/** @param value undefined and null are an empty object. @throws SLW_BAD_REQUEST */
export function objectOf(value: JsonValue | undefined, where: string): JsonObject {
  if (value === undefined || value === null) return {}
  if (typeof value === 'object' && !Array.isArray(value)) return value
  throw new SlipwayError('SLW_BAD_REQUEST', `${where}: expected a JSON object, such as {}`)
}
