/** Parameters of TorchServe's management API: in the address, or for a registration in a JSON body under the same names. */
import { SlipwayError } from '../../../../core/errors.ts'
import { parseJson } from '../../../../tensor/json-reader.ts'
import type { Exchange } from '../../exchange.ts'

export type Parameters = ReadonlyMap<string, string>

/** @throws SLW_BAD_REQUEST for one that is not known, or given twice */
export function parametersOf(exchange: Exchange, known: readonly string[]): Parameters {
  const { url = '' } = exchange.request
  const at = url.indexOf('?')
  const found = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(at < 0 ? '' : url.slice(at + 1))) {
    requireKnown(name, known)
    if (found.has(name)) throw new SlipwayError('SLW_BAD_REQUEST', `parameter ${name}: given twice`)
    found.set(name, value)
  }
  return found
}

/** Those of the body, where it is JSON, else those of the address. @throws as `parametersOf` */
export async function parametersOfBody(exchange: Exchange, known: readonly string[]): Promise<Parameters> {
  const body = await exchange.readBody()
  const isJson = /^application\/json\s*(?:;|$)/i.test(exchange.header('content-type') ?? '')
  if (body.length === 0 || !isJson) return parametersOf(exchange, known)
  const value = parseJson(body, { nesting: 8 })
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new SlipwayError('SLW_BAD_REQUEST', 'expected an object with the parameters')
  const found = new Map<string, string>()
  for (const [name, given] of Object.entries(value)) {
    requireKnown(name, known)
    if (given === null) continue
    if (typeof given === 'object') throw new SlipwayError('SLW_BAD_REQUEST', `${name}: expected a text, a number or a boolean`)
    found.set(name, String(given))
  }
  return found
}

function requireKnown(name: string, known: readonly string[]): void {
  if (!known.includes(name)) throw new SlipwayError('SLW_BAD_REQUEST', `parameter ${name} is not known; expected ${known.join(', ')}`)
}

/** @returns undefined where it is not given. @throws SLW_BAD_REQUEST */
export function wholeNumber(parameters: Parameters, name: string, [least, most]: readonly [number, number]): number | undefined {
  const text = parameters.get(name)
  if (text === undefined) return undefined
  const number = Number(text)
  if (/^\d+$/.test(text) && number >= least && number <= most) return number
  throw new SlipwayError('SLW_BAD_REQUEST', `parameter ${name}: expected a whole number from ${least} to ${most}, got "${text}"`)
}

/** @throws SLW_BAD_REQUEST */
export function requireBoolean(parameters: Parameters, name: string): void {
  const text = parameters.get(name)
  if (text !== undefined && !/^(?:true|false)$/i.test(text))
    throw new SlipwayError('SLW_BAD_REQUEST', `parameter ${name}: expected true or false, got "${text}"`)
}
