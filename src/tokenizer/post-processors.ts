import { broken, componentAt, integerAt, isComponent, isId, listAt, textAt, typeOf, unsupported } from './component.ts'
import type { Component } from './component.ts'

/** Ids of a text or of two, with the tokens that mark their beginnings and ends. */
export interface Marked {
  readonly ids: number[]
  /** Which of the two texts a token is of, as the model was trained. */
  readonly typeIds: number[]
}

export interface PostProcess {
  /** Tokens that it adds. */
  readonly added: (pair: boolean) => number
  readonly mark: (ids: readonly number[], pair: readonly number[] | undefined) => Marked
}

/** A place in a template: a text, or tokens. */
interface Place {
  readonly of: 'A' | 'B' | readonly number[]
  readonly typeId: number
}

/**
 * The post-processor of a tokenizer (tokenizers/src/processors).
 * @throws SLW_MODEL_UNSUPPORTED naming one that is not known
 */
export function postProcessorOf(component: unknown): PostProcess {
  return template(placesOf(component) ?? PLAIN)
}

interface Template {
  readonly single: readonly Place[]
  readonly pair: readonly Place[]
}

const [A, B] = [
  { of: 'A', typeId: 0 },
  { of: 'B', typeId: 1 },
] as const
const PLAIN: Template = { single: [A], pair: [A, B] }

function template(places: Template): PostProcess {
  const count = (list: readonly Place[]): number => list.reduce((sum, { of }) => sum + (typeof of === 'string' ? 0 : of.length), 0)
  const [single, both] = [count(places.single), count(places.pair)]
  return {
    added: (pair) => (pair ? both : single),
    mark: (ids, pair) => {
      const marked: Marked = { ids: [], typeIds: [] }
      for (const { of, typeId } of pair === undefined ? places.single : places.pair)
        for (const id of of === 'A' ? ids : of === 'B' ? pair! : of) {
          marked.ids.push(id)
          marked.typeIds.push(typeId)
        }
      return marked
    },
  }
}

/** Undefined for one that changes no ids. */
function placesOf(component: unknown): Template | undefined {
  const type = typeOf(component, 'post_processor')
  const settings = component as Component
  switch (type) {
    case undefined:
    case 'ByteLevel':
      return undefined
    case 'TemplateProcessing': {
      const tokens = componentAt(settings, 'special_tokens')
      return { single: readPlaces(listAt(settings, 'single'), tokens), pair: readPlaces(listAt(settings, 'pair'), tokens) }
    }
    case 'BertProcessing': {
      const [cls, sep] = [tokenAt(settings, 'cls'), tokenAt(settings, 'sep')]
      return { single: [cls, A, sep], pair: [cls, A, sep, B, { ...sep, typeId: 1 }] }
    }
    case 'RobertaProcessing': {
      const [cls, sep] = [tokenAt(settings, 'cls'), tokenAt(settings, 'sep')]
      return { single: [cls, A, sep], pair: [cls, A, sep, sep, { of: 'B', typeId: 0 }, sep] }
    }
    case 'Sequence': {
      const all = listAt(settings, 'processors')
        .map(placesOf)
        .filter((places) => places !== undefined)
      if (all.length > 1) unsupported('a sequence of two post-processors that add tokens')
      return all[0]
    }
    default:
      return unsupported(`the post-processor ${type}`)
  }
}

/** A pair of a token and its id. */
function tokenAt(settings: Component, key: string): Place {
  const pair = settings[key]
  const id: unknown = Array.isArray(pair) ? pair[1] : undefined
  return isId(id) ? { of: [id], typeId: 0 } : broken(`post_processor: ${key}: expected a token and its id`)
}

function readPlaces(list: readonly unknown[], tokens: Component): Place[] {
  return list.map((entry) => {
    const place = isComponent(entry) ? entry : broken('post_processor: expected objects')
    if (isComponent(place['Sequence'])) {
      const of = textAt(place['Sequence'], 'id')
      if (of !== 'A' && of !== 'B') broken(`post_processor: a sequence is A or B, not ${of}`)
      return { of, typeId: integerAt(place['Sequence'], 'type_id', 0) }
    }
    const token = componentAt(place, 'SpecialToken')
    const ids = listAt(componentAt(tokens, textAt(token, 'id')), 'ids')
    if (!ids.every(isId)) broken('post_processor: ids: expected integers from 0')
    return { of: ids, typeId: integerAt(token, 'type_id', 0) }
  })
}
