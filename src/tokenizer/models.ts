import { broken, integerAt, isComponent, textAt, unsupported } from './component.ts'
import { bytePairOf } from './byte-pair.ts'
import { unigramOf } from './unigram.ts'
import { sizeOf, vocabularyOf, withoutToken } from './vocabulary.ts'
import type { Component } from './component.ts'
import type { Model } from './vocabulary.ts'

/**
 * The model of a tokenizer (tokenizers/src/models).
 * @throws SLW_MODEL_UNSUPPORTED naming one that is not known
 */
export function modelOf(component: unknown): Model {
  const settings = isComponent(component) ? component : broken('model: expected an object')
  // Files of old have no type.
  const type = settings['type'] ?? (Array.isArray(settings['merges']) ? 'BPE' : 'WordPiece')
  switch (type) {
    case 'WordPiece':
      return remembering(wordPieceOf(settings))
    case 'WordLevel':
      return wordLevelOf(settings)
    case 'BPE':
      return remembering(bytePairOf(settings))
    case 'Unigram':
      return remembering(unigramOf(settings))
    default:
      return unsupported(`the model ${String(type)}`)
  }
}

/** Characters, and not the halves that a text is made of. */
function countOf(part: string): number {
  let count = 0
  for (const _ of part) count++
  return count
}

/** Greedy: the longest token that begins what is left of a word. */
function wordPieceOf(settings: Component): Model {
  const vocabulary = vocabularyOf(settings)
  const unknown = vocabulary.get(textAt(settings, 'unk_token', '[UNK]'))
  const prefix = textAt(settings, 'continuing_subword_prefix', '##')
  const charactersMax = integerAt(settings, 'max_input_chars_per_word', 100)
  let longest = 0
  for (const token of vocabulary.keys()) longest = Math.max(longest, token.length)
  const addUnknown = (part: string, into: number[]): void => {
    into.push(unknown ?? withoutToken(part))
  }
  const tokenize = (part: string, into: number[]): void => {
    if (part.length > charactersMax && countOf(part) > charactersMax) {
      addUnknown(part, into)
      return
    }
    const before = into.length
    for (let start = 0; start < part.length;) {
      const begin = start === 0 ? '' : prefix
      let end = Math.min(part.length, start + longest)
      let id = vocabulary.get(begin + part.slice(start, end))
      while (id === undefined && end > start + 1) id = vocabulary.get(begin + part.slice(start, --end))
      if (id === undefined) {
        into.length = before
        addUnknown(part, into)
        return
      }
      into.push(id)
      start = end
    }
  }
  return { tokenize, idOf: (token) => vocabulary.get(token), size: sizeOf(vocabulary) }
}

function wordLevelOf(settings: Component): Model {
  const vocabulary = vocabularyOf(settings)
  const unknown = vocabulary.get(textAt(settings, 'unk_token', '<unk>'))
  return {
    tokenize: (part, into) => {
      into.push(vocabulary.get(part) ?? unknown ?? withoutToken(part))
    },
    idOf: (token) => vocabulary.get(token),
    size: sizeOf(vocabulary),
  }
}

/** Parts whose ids are remembered, and the longest of them. */
const PARTS_MAX = 10_000
const PART_LENGTH_MAX = 40

/** Most parts are words that come again. */
function remembering(model: Model): Model {
  const known = new Map<string, readonly number[]>()
  return {
    ...model,
    tokenize: (part, into) => {
      if (part.length > PART_LENGTH_MAX) {
        model.tokenize(part, into)
        return
      }
      let ids = known.get(part)
      if (ids === undefined) {
        const found: number[] = []
        model.tokenize(part, found)
        ids = found
        if (known.size >= PARTS_MAX) known.clear()
        known.set(part, ids)
      }
      for (const id of ids) into.push(id)
    },
  }
}
