/** Places in a request from which routing reads who somebody is: the unit that is to keep its variant, and the audience of a variant. */
import { Type } from 'typebox'
import type { Static } from 'typebox'

const closed = { additionalProperties: false } as const
const Name = (description: string) => Type.String({ minLength: 1, maxLength: 200, description })

const PLACES = {
  header: Name('Name of an HTTP header, or of metadata.'),
  cookie: Name('Name of a cookie.'),
  query: Name('Name of a parameter of the address.'),
  field: Name('Path of a field of a JSON body, such as `customer.id`; in rows, that of the first one.'),
}
export type PlaceKind = keyof typeof PLACES

/** One place: `{header: x-user}`, `{cookie: sid}`, `{query: user}` or `{field: customer_id}`. */
export const Place = Type.Union([
  Type.Object({ header: PLACES.header }, closed),
  Type.Object({ cookie: PLACES.cookie }, closed),
  Type.Object({ query: PLACES.query }, closed),
  Type.Object({ field: PLACES.field }, closed),
])
export type Place = Static<typeof Place>

const Is = Type.Union([Type.String({ maxLength: 1000 }), Type.Array(Type.String({ maxLength: 1000 }), { minItems: 1, maxItems: 1000 })], {
  description: 'The value, or those that are meant; `*` is any.',
})

/** A place and the values that are meant there. */
export const Condition = Type.Union([
  Type.Object({ header: PLACES.header, is: Is }, closed),
  Type.Object({ cookie: PLACES.cookie, is: Is }, closed),
  Type.Object({ query: PLACES.query, is: Is }, closed),
  Type.Object({ field: PLACES.field, is: Is }, closed),
])
export type Condition = Static<typeof Condition>

/** An audience: one condition, or several that hold together. */
export const Audience = Type.Union([
  Condition,
  Type.Object({ all: Type.Array(Condition, { minItems: 1, maxItems: 20, description: 'Conditions that hold together.' }) }, closed),
])
export type Audience = Static<typeof Audience>

/** A rule of a routing: requests of an audience go to a variant. */
export const Rule = Type.Object({ variant: Type.String(), all: Type.Array(Condition, { minItems: 1, maxItems: 20 }) }, closed)
export type Rule = Static<typeof Rule>

/** What routing can read of a request. Undefined where there is no such thing. */
export interface Facts {
  header(name: string): string | undefined
  cookie(name: string): string | undefined
  query(name: string): string | undefined
  /** `unread` while the body has not been taken in. */
  field(path: string): string | undefined | typeof UNREAD
}

/** A fact that is not known before the body is read. */
export const UNREAD = Symbol('unread')

export function placeOf(place: Place | Condition): { readonly kind: PlaceKind; readonly name: string } {
  if ('header' in place) return { kind: 'header', name: place.header.toLowerCase() }
  if ('cookie' in place) return { kind: 'cookie', name: place.cookie }
  if ('query' in place) return { kind: 'query', name: place.query }
  return { kind: 'field', name: place.field }
}

/** The rules of a variant's audiences: each of them is enough. */
export function rulesOf(variant: string, audiences: readonly Audience[] = []): Rule[] {
  return audiences.map((audience) => ({ variant, all: 'all' in audience ? audience.all : [audience] }))
}

/** Whether a condition holds. An empty value is none. */
export function holds(condition: Condition, facts: Facts): boolean | typeof UNREAD {
  const { kind, name } = placeOf(condition)
  const value = facts[kind](name)
  if (value === UNREAD) return UNREAD
  if (value === undefined || value === '') return false
  const { is } = condition
  return is === '*' || (typeof is === 'string' ? is === value : is.includes(value) || is.includes('*'))
}

/** The unit by the first place that has one. */
export function unitAt(places: readonly Place[], facts: Facts): string | undefined | typeof UNREAD {
  for (const place of places) {
    const { kind, name } = placeOf(place)
    const value = facts[kind](name)
    if (value === UNREAD) return UNREAD
    if (value !== undefined && value !== '') return value
  }
  return undefined
}
