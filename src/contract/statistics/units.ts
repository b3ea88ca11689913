/**
 * Sets of units, each with the time at which something first happened to it. Units do not add up over windows and servers, sets of them do:
 * merged by union, with the earlier time. Beyond a cap a set keeps those whose hash lies under a limit, which is halved as often as needed (a
 * theta sketch: Dasgupta, Lang, Rhodes, Thaler 2016, "A Framework for Estimating Stream Expression Cardinalities"): every unit has the same
 * chance to be kept, whatever happens to it, so that shares of sets with one limit stay what they are.
 */
import { Type } from 'typebox'
import { murmur3 } from '../murmur3.ts'
import type { StatisticKind } from './kind.ts'

/** Hashes of units lie under this number: two of ten million units have the same one with a chance of one in a hundred. */
export const HASHES = 2 ** 52
/** Units that a set keeps. The relative standard error of a size beyond it is 1 / sqrt(of half of it to all of it): 1.6 to 2.2 %. */
export const UNITS_MAX = 4096

/** Units by their hashes. */
export interface UnitsData {
  readonly kind: 'units'
  /** Only units with a hash under it are kept; {@link HASHES}: all. */
  readonly limit: number
  /** Time of the first event of each, UTC epoch milliseconds. */
  readonly first: ReadonlyMap<number, number>
}

/** Seeds that the hash of routing does not use: who is kept has nothing to do with who gets which variant. */
const [HIGH_SEED, LOW_SEED] = [0x9e3779b1, 0x85ebca77]

/** Hash of a unit, from 0 to 2^52: MurmurHash3_x86_32 of its UTF-8 bytes under two seeds, 32 and 20 bits of them. */
export function unitHash(unit: string): number {
  return murmur3(unit, HIGH_SEED) * 2 ** 20 + (murmur3(unit, LOW_SEED) >>> 12)
}

/** A set that grows. */
export class Units {
  readonly #first = new Map<number, number>()
  #limit = HASHES

  /** @param hash from {@link unitHash} */
  add(hash: number, timeMs: number): void {
    if (hash >= this.#limit) return
    const known = this.#first.get(hash)
    if (known !== undefined && known <= timeMs) return
    this.#first.set(hash, timeMs)
    if (this.#first.size > UNITS_MAX) this.#limit = thin(this.#first, this.#limit)
  }

  snapshot(): UnitsData {
    return { kind: 'units', limit: this.#limit, first: new Map(this.#first) }
  }
}

/** Halves the limit until the set is no larger than it may be. @returns the limit */
function thin(first: Map<number, number>, before: number): number {
  let limit = before
  while (first.size > UNITS_MAX) {
    limit /= 2
    for (const hash of first.keys()) if (hash >= limit) first.delete(hash)
  }
  return limit
}

/** Units of a set with a hash under a limit that is not above its own. */
export function under({ first }: UnitsData, limit: number): Map<number, number> {
  return new Map([...first].filter(([hash]) => hash < limit))
}

/** Estimate of how many units there were; exact where none was left out. */
export function sizeOf({ limit, first }: UnitsData): number {
  return Math.round((first.size * HASHES) / limit)
}

/** Bytes of one unit: 7 of its hash, 6 of its time, the highest first. */
const BYTES = 13

function encode({ limit, first }: UnitsData): { kind: 'units'; limit: number; units: string } {
  const bytes = new Uint8Array(first.size * BYTES)
  let at = 0
  // In one order, so that equal sets are equal texts.
  for (const [hash, timeMs] of [...first].toSorted(([a], [b]) => a - b)) {
    at = put(bytes, at, hash, 7)
    at = put(bytes, at, timeMs, 6)
  }
  let text = ''
  for (let start = 0; start < bytes.length; start += 8190) text += String.fromCharCode(...bytes.subarray(start, start + 8190))
  return { kind: 'units', limit, units: btoa(text) }
}

function put(bytes: Uint8Array, at: number, value: number, count: number): number {
  let rest = value
  for (let index = count - 1; index >= 0; index--) {
    bytes[at + index] = rest % 256
    rest = Math.floor(rest / 256)
  }
  return at + count
}

function decode(wire: { readonly limit: number; readonly units: string }): UnitsData {
  const text = atob(wire.units)
  const first = new Map<number, number>()
  const read = (at: number, count: number): number => {
    let value = 0
    for (let index = 0; index < count; index++) value = value * 256 + text.charCodeAt(at + index)
    return value
  }
  for (let at = 0; at + BYTES <= text.length; at += BYTES) {
    const hash = read(at, 7)
    if (hash < wire.limit) first.set(hash, read(at + 7, 6))
  }
  return { kind: 'units', limit: first.size > UNITS_MAX ? thin(first, wire.limit) : wire.limit, first }
}

export const unitsKind: StatisticKind<UnitsData> = {
  kind: 'units',
  schema: Type.Object({
    kind: Type.Literal('units'),
    limit: Type.Integer({ minimum: 1, maximum: HASHES }),
    // Base64 of whole units.
    units: Type.String({
      pattern: '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$',
      maxLength: 4 * Math.ceil((UNITS_MAX * BYTES) / 3),
    }),
  }),
  encode: (units) => encode(units),
  decode: (wire) => decode(wire as unknown as { limit: number; units: string }),
  merge(a, b) {
    const limit = Math.min(a.limit, b.limit)
    const first = under(a, limit)
    for (const [hash, timeMs] of b.first) if (hash < limit) first.set(hash, Math.min(timeMs, first.get(hash) ?? timeMs))
    return { kind: 'units', limit: first.size > UNITS_MAX ? thin(first, limit) : limit, first }
  },
  /** What is new since; a smaller limit counts as new, as it tells which units of the others no longer stand for all. */
  subtract(now, before) {
    const first = new Map([...now.first].filter(([hash, timeMs]) => timeMs < (before.first.get(hash) ?? Infinity)))
    return first.size === 0 && now.limit === before.limit ? undefined : { kind: 'units', limit: now.limit, first }
  },
  isEmpty: ({ first, limit }) => first.size === 0 && limit === HASHES,
}
