import { inputInvalid } from '../core/errors.ts'
import { broken, componentAt, isId } from './component.ts'
import type { Component } from './component.ts'

/** What makes token ids of the parts that a text was split into. */
export interface Model {
  /** Appends the ids of a part. */
  readonly tokenize: (part: string, into: number[]) => void
  readonly idOf: (token: string) => number | undefined
  /** Ids are below it. */
  readonly size: number
}

export function vocabularyOf(settings: Component): ReadonlyMap<string, number> {
  const vocabulary = new Map<string, number>()
  for (const [token, id] of Object.entries(componentAt(settings, 'vocab'))) {
    if (!isId(id)) broken(`vocab: the id of ${JSON.stringify(token)} is no number`)
    vocabulary.set(token, id)
  }
  return vocabulary
}

export function sizeOf(vocabulary: ReadonlyMap<string, number>): number {
  let size = 0
  for (const id of vocabulary.values()) size = Math.max(size, id + 1)
  return size
}

/** @throws SLW_INPUT_INVALID */
export function withoutToken(part: string): never {
  throw inputInvalid([
    { path: 'text', message: `the tokenizer has no token for ${JSON.stringify(part.slice(0, 40))}, and none for what it does not know` },
  ])
}
