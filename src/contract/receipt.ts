/**
 * Receipts: what a client gets of its prediction, so that a later label finds the version it is about without a look-up. A text of four
 * parts: the prediction's id, where it was answered, what was predicted for which unit, and a signature of the three.
 */
import { Type } from 'typebox'
import type { Static } from 'typebox'

/** Keys of an endpoint: the first signs, all of them are believed. */
export const ReceiptKey = Type.Object({
  id: Type.String({ pattern: '^[0-9a-z]{1,8}$' }),
  secret: Type.String({ minLength: 32, maxLength: 100 }),
})
export type ReceiptKey = Static<typeof ReceiptKey>

/** Where a prediction was made, and how it came there. */
export interface ReceiptPlace {
  readonly endpoint: string
  /** The variant that the request was assigned to. */
  readonly assigned: string
  /** The variant that answered, and its model and version. */
  readonly served: string
  readonly model: string
  readonly version: string
  readonly segment: number
  /** Whether chance assigned it and the version itself answered: whether it is evidence. */
  readonly evidence: boolean
  /** Whether what is predicted is a number that is right more or less, and no class. */
  readonly numeric: boolean
}

export interface Receipt extends ReceiptPlace {
  /** The prediction's id, as in logs, traces and records. */
  readonly id: string
  /** When it was made, UTC epoch milliseconds: whole seconds. */
  readonly timeMs: number
  /** Hash of the request's unit (`unitHash`); undefined where it had none. */
  readonly unit: number | undefined
  /** The class or number that was predicted; undefined for several rows, and where there is neither. */
  readonly predicted: string | number | boolean | undefined
}

/** Longest text of a prediction that a receipt has: longer ones are left out. */
const PREDICTED_MAX = 64
/** Longest receipt that is read. */
export const RECEIPT_MAX = 4000

/** The second part, which is the same for all predictions of one place. */
export function writePlace(key: string, { endpoint, assigned, served, model, version, segment, evidence, numeric }: ReceiptPlace): string {
  return toBase64Url(
    JSON.stringify([
      key,
      endpoint,
      assigned,
      served === assigned ? '' : served,
      model,
      version,
      segment,
      (evidence ? 1 : 0) + (numeric ? 2 : 0),
    ]),
  )
}

/** The third part. */
export function writeDetails(unit: number | undefined, predicted: Receipt['predicted']): string {
  if (unit === undefined && predicted === undefined) return ''
  const known = typeof predicted === 'string' && predicted.length > PREDICTED_MAX ? undefined : predicted
  return `${unit === undefined ? '' : base36(unit)}${known === undefined ? '' : `~${predictedText(known)}`}`
}

/** Two digits of each number below 36^2, and the same without a zero before them. */
const PAIRS = Array.from({ length: 1296 }, (_, value) => value.toString(36).padStart(2, '0'))
const FIRST = Array.from({ length: 1296 }, (_, value) => value.toString(36))

/** As `toString(36)`, which costs a large number half a microsecond. @param value a whole number from 0 */
function base36(value: number): string {
  let text = ''
  let rest = value
  while (rest >= 1296) {
    const high = Math.floor(rest / 1296)
    text = PAIRS[rest - high * 1296]! + text
    rest = high
  }
  return FIRST[rest]! + text
}

/** Numbers and booleans as they are, texts behind an underscore, so that `1` and `"1"` stay apart; all of it fit for headers and shells. */
function predictedText(predicted: string | number | boolean): string {
  return typeof predicted === 'string' ? `_${encoded(predicted)}` : String(predicted)
}

/** A receipt whose signature has not been checked, and the parts that are signed. */
export interface UncheckedReceipt {
  readonly receipt: Receipt
  /** Id of the key. */
  readonly key: string
  readonly place: string
  readonly details: string
}

/** @returns undefined for what is no receipt */
export function readReceipt(text: string): UncheckedReceipt | undefined {
  if (text.length > RECEIPT_MAX) return undefined
  const [, id, place, details] = /^([0-9a-f]{24})\.([\w-]+)\.([\w.~%+-]*)\.[0-9a-f]{16}$/.exec(text) ?? []
  if (id === undefined || place === undefined || details === undefined) return undefined
  try {
    const [key, endpoint, assigned, served, model, version, segment, flags] = JSON.parse(fromBase64Url(place)) as [
      string,
      string,
      string,
      string,
      string,
      string,
      number,
      number,
    ]
    const [unit = '', ...rest] = details.split('~')
    return {
      key,
      place,
      details,
      receipt: {
        id,
        timeMs: parseInt(id.slice(0, 8), 16) * 1000,
        endpoint,
        assigned,
        served: served === '' ? assigned : served,
        model,
        version,
        segment,
        evidence: (flags & 1) !== 0,
        numeric: (flags & 2) !== 0,
        unit: unit === '' ? undefined : parseInt(unit, 36),
        predicted: rest.length === 0 ? undefined : predictedOf(rest.join('~')),
      },
    }
  } catch {
    return undefined
  }
}

/** Classes that were written last: there are few of them. */
const written = new Map<string, string>()
const WRITTEN_MAX = 1000

function encoded(text: string): string {
  let found = written.get(text)
  if (found !== undefined) return found
  if (written.size >= WRITTEN_MAX) written.clear()
  found = encodeURIComponent(text.toWellFormed()).replaceAll(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16)}`)
  written.set(text, found)
  return found
}

function predictedOf(text: string): string | number | boolean {
  if (text.startsWith('_')) return decodeURIComponent(text.slice(1))
  return text === 'true' ? true : text === 'false' ? false : Number(text)
}

function toBase64Url(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

function fromBase64Url(text: string): string {
  return new TextDecoder().decode(
    Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0)),
  )
}
