import { broken, isComponent, textAt, unsupported } from './component.ts'
import { LETTER, NUMBER, WORD } from './unicode-tables.ts'
import { classOf, WHITE_SPACE } from './unicode.ts'
import type { Component } from './component.ts'

/** What becomes of the places that a pattern matches. */
export type Behavior = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous'
const BEHAVIORS: readonly string[] = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] satisfies Behavior[]

export function behaviorOf(component: Component): Behavior {
  const behavior = textAt(component, 'behavior')
  return BEHAVIORS.includes(behavior) ? (behavior as Behavior) : unsupported(`the behavior "${behavior}"`)
}

/** The pattern of a component, as a global expression. */
export function patternOf(component: Component): RegExp {
  const { pattern } = component
  if (isComponent(pattern) && typeof pattern['String'] === 'string')
    return new RegExp(pattern['String'].replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'gu')
  if (isComponent(pattern) && typeof pattern['Regex'] === 'string') return translated(pattern['Regex'])
  return broken('pattern: expected a String or a Regex')
}

const CLASSES: Readonly<Record<string, string>> = {
  s: WHITE_SPACE,
  d: '\\p{Nd}',
  w: classOf(WORD),
  'p{L}': classOf(LETTER),
  'p{N}': classOf(NUMBER),
}
const NEGATED: Readonly<Record<string, string>> = { S: 's', D: 'd', W: 'w', 'P{L}': 'p{L}', 'P{N}': 'p{N}' }
const TOKEN =
  /\\(?<escaped>[pP]\{\^?[A-Za-z_]+\}|[pP][LNZMPSC]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[\s\S])|(?<group>\(\?(?::|=|!|<=|<!|i:)|\()|(?<quantifier>(?:[*+?]|\{\d+(?:,\d*)?\})(?<mode>[+?]?))|[\s\S]/gu

/**
 * An expression of Oniguruma (https://github.com/kkos/oniguruma/blob/master/doc/RE), as far as tokenizers use it, as one of JavaScript.
 * @throws SLW_MODEL_UNSUPPORTED naming what has no equal
 */
function translated(source: string): RegExp {
  let inside = false
  let opened = 0
  const parts = source.replace(TOKEN, (...match) => {
    const [token, , , , , offset] = match as unknown as [string, unknown, unknown, unknown, unknown, number]
    const { escaped, group, mode } = match.at(-1) as Readonly<Record<string, string | undefined>>
    if (escaped !== undefined) return escape(escaped, inside, source)
    if (inside) {
      if (token === '[' || (token === '&' && source[offset + 1] === '&'))
        unsupported(`the regular expression ${source}: a class inside a class`)
      if (token === ']' && offset > opened + 1) inside = false
      return /[(){}|/]/.test(token) ? `\\${token}` : token
    }
    if (token === '[') {
      inside = true
      opened = source[offset + 1] === '^' ? offset + 1 : offset
      return token
    }
    if (mode === '+') {
      // Possessive, or in the case of an interval repeated: neither has an equal.
      return unsupported(`the regular expression ${source}: the quantifier ${token}`)
    }
    if (token === '(' && group !== undefined && source[offset + 1] === '?')
      unsupported(`the regular expression ${source}: this kind of group`)
    if (token === '.') return '[^\\n]'
    if (token === '^') return '(?:^|(?<=\\n))'
    if (token === '$') return '(?:$|(?=\\n))'
    return token === '/' || token === ']' || token === '}' || token === '{' ? `\\${token}` : token
  })
  try {
    return new RegExp(parts, 'gu')
  } catch {
    return unsupported(`the regular expression ${source}`)
  }
}

function escape(escaped: string, inside: boolean, source: string): string {
  const name = /^[pP][A-Z]$/.test(escaped) ? `${escaped[0]}{${escaped[1]}}` : escaped.replace(/^p\{\^/, 'P{')
  const known = CLASSES[name]
  if (known !== undefined) return inside ? known : `[${known}]`
  const negated = NEGATED[name]
  if (negated !== undefined) {
    if (inside) unsupported(`the regular expression ${source}: \\${escaped} inside a class`)
    return `[^${CLASSES[negated]!}]`
  }
  if (/^[pP]\{|^[xu]|^[tnrfv]$/.test(name)) return `\\${name}`
  if (/[A-Za-z0-9]/.test(name)) unsupported(`the regular expression ${source}: \\${escaped}`)
  return /[\\^$.*+?()[\]{}|/-]/.test(name) ? (name === '-' && !inside ? '-' : `\\${name}`) : name
}

/** The parts of a text, none of them empty. */
export function splitBy(text: string, pattern: RegExp, behavior: Behavior, invert = false): string[] {
  const parts: { from: number; to: number; matched: boolean }[] = []
  let end = 0
  const add = (from: number, to: number, matched: boolean): void => {
    if (to > from) parts.push({ from, to, matched: matched !== invert })
  }
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const { index } = match
    const [{ length }] = match
    if (length === 0) {
      pattern.lastIndex += (text.codePointAt(index) ?? 0) > 0xff_ff ? 2 : 1
      continue
    }
    add(end, index, false)
    end = index + length
    add(index, end, true)
  }
  add(end, text.length, false)
  return merged(parts, behavior).map(({ from, to }) => text.slice(from, to))
}

interface Part {
  readonly from: number
  readonly to: number
  readonly matched: boolean
}

function merged(parts: readonly Part[], behavior: Behavior): readonly Part[] {
  switch (behavior) {
    case 'Isolated':
      return parts
    case 'Removed':
      return parts.filter(({ matched }) => !matched)
    case 'Contiguous':
      return folded(parts, (part, before) => part.matched === before)
    case 'MergedWithPrevious':
      return folded(parts, (part, before) => part.matched && !before)
    case 'MergedWithNext':
      return folded(parts.toReversed(), (part, before) => part.matched && !before).toReversed()
  }
}

/** Parts one after another, joined to the last one where `joins` says so. */
function folded(parts: readonly Part[], joins: (part: Part, matchedBefore: boolean) => boolean): Part[] {
  const all: Part[] = []
  let before = false
  for (const part of parts) {
    const last = all.at(-1)
    if (last !== undefined && joins(part, before))
      all[all.length - 1] = { from: Math.min(last.from, part.from), to: Math.max(last.to, part.to), matched: false }
    else all.push(part)
    before = part.matched
  }
  return all
}
