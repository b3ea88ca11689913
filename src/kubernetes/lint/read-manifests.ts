import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, visit } from 'yaml'
import { messageOf } from '../../core/errors.ts'
import { at, listAt, textAt } from './values.ts'
import type { Document, Tags } from 'yaml'
import type { KubernetesObject } from '../object.ts'
import type { Path } from './values.ts'

/** Limits of one text. What a cluster stores is 1.5 MB at most (etcd); this leaves room for many in one file. */
export const MANIFEST_LIMITS = { bytes: 8 << 20, objects: 10_000, depth: 200, aliases: 1000 } as const

export interface Place {
  readonly line: number
  readonly column: number
}

/** Why a text, or one document of it, holds no manifest. */
export interface Unreadable extends Place {
  readonly message: string
  /** Whether it is well-formed, but something else than an object of Kubernetes. */
  readonly isForeign: boolean
}

export interface PlacedObject {
  readonly object: KubernetesObject
  /** Where a field stands; for one that is not there, what it would stand in. */
  readonly place: (path: Path) => Place
}

export interface ManifestsRead {
  readonly objects: readonly PlacedObject[]
  readonly unreadable: readonly Unreadable[]
}

type Parsed = Document.Parsed

/** As Kubernetes reads it: YAML 1.1, without times, and without what only programs of one language know. */
const withoutTimes = (tags: Tags): Tags =>
  tags.filter((tag) => typeof tag === 'string' || (!/timestamp|binary|set|omap|pairs/.test(tag.tag) && tag.format !== 'TIME'))

/**
 * Reads manifests: YAML of several documents, JSON, lists of objects (`kind: List`), and what `helm template` prints.
 * @returns objects with the place of each field, and what could not be read, which keeps nothing else from being read
 */
export function readManifests(text: string): ManifestsRead {
  const start = { line: 1, column: 1 }
  const refuse = (message: string): ManifestsRead => ({ objects: [], unreadable: [{ ...start, message, isForeign: false }] })
  if (text.length > MANIFEST_LIMITS.bytes)
    return refuse(`the text has more than ${MANIFEST_LIMITS.bytes >> 20} MB: check its parts one by one`)
  const lines = new LineCounter()
  let documents: Parsed[]
  try {
    // Keys that stand twice are found below: the library compares each with all others, which takes minutes for large maps.
    const options = { lineCounter: lines, prettyErrors: false, version: '1.1', uniqueKeys: false, customTags: withoutTimes } as const
    const parsed = parseAllDocuments(text, options)
    documents = Array.isArray(parsed) ? (parsed as Parsed[]) : []
  } catch (error) {
    // Parsers go as deep as the text, and the stack does not.
    return refuse(error instanceof RangeError ? TOO_DEEP : messageOf(error))
  }
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const objects: PlacedObject[] = []
  const unreadable: Unreadable[] = []
  for (const document of documents) {
    let found: ManifestsRead
    try {
      found = readDocument(document, text, placeOf)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return refuse(TOO_DEEP)
    }
    objects.push(...found.objects)
    unreadable.push(...found.unreadable)
    if (objects.length > MANIFEST_LIMITS.objects) return refuse(`there are more than ${MANIFEST_LIMITS.objects} objects`)
  }
  return { objects, unreadable }
}

const TOO_DEEP = `lists and maps are nested more than ${MANIFEST_LIMITS.depth} deep`
const TEMPLATE = 'this is a template of Helm, and no manifest yet: check what it makes, `helm template CHART | slipway lint k8s -`'

function readDocument(document: Parsed, text: string, placeOf: (offset: number) => Place): ManifestsRead {
  const isEmpty = document.contents === null || (isScalar(document.contents) && document.contents.value === null)
  if (isEmpty && document.errors.length === 0) return { objects: [], unreadable: [] }
  const offset = document.contents?.range?.[0] ?? document.range[0]
  const refuse = (message: string, position = offset): ManifestsRead => ({
    objects: [],
    unreadable: [{ ...placeOf(position), message, isForeign: false }],
  })
  const template = templateAt(document, text)
  if (template !== undefined) return refuse(TEMPLATE, template)
  const broken = document.errors[0]
  if (broken !== undefined) return refuse(`this is no YAML: ${broken.message}`, broken.pos[0])
  const wrong = formIssue(document)
  if (wrong !== undefined) return refuse(wrong.message, wrong.offset)
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: MANIFEST_LIMITS.aliases })
  } catch (error) {
    // Unknown aliases, or too many of them.
    return refuse(messageOf(error))
  }
  const objects: PlacedObject[] = []
  const unreadable: Unreadable[] = []
  const take = (one: unknown, path: Path): void => {
    const place = (within: Path): Place => placeOf(offsetOf(document, [...path, ...within]))
    const why = objectIssue(one)
    if (why !== undefined) unreadable.push({ ...place([]), ...why })
    else objects.push({ object: withName(one as KubernetesObject), place })
  }
  if (textAt(value, 'kind')?.endsWith('List') === true && Array.isArray(at(value, 'items')))
    for (const [index, item] of listAt(value, 'items').entries()) take(item, ['items', index])
  else take(value, [])
  return { objects, unreadable }
}

/** Why a value is no object of Kubernetes. */
function objectIssue(value: unknown): { readonly message: string; readonly isForeign: boolean } | undefined {
  const [apiVersion, kind] = [textAt(value, 'apiVersion'), textAt(value, 'kind')]
  if (apiVersion === undefined || kind === undefined)
    return {
      message: `this is no object of Kubernetes: it has no ${apiVersion === undefined ? 'apiVersion' : 'kind'}`,
      isForeign: apiVersion === undefined && kind === undefined,
    }
  if (/^kustomize\.config\.k8s\.io\/|^slipway\//.test(apiVersion))
    return { message: `a ${kind} of ${apiVersion} is no object of a cluster: check what is made of it`, isForeign: true }
  if (textAt(value, 'metadata', 'name') === undefined && textAt(value, 'metadata', 'generateName') === undefined)
    return { message: `the ${kind} has no metadata.name`, isForeign: false }
  return undefined
}

function withName(object: KubernetesObject): KubernetesObject {
  const { name, namespace } = object.metadata
  const isRight = typeof name === 'string' && (namespace === undefined || typeof namespace === 'string')
  if (isRight) return object
  const { namespace: _, ...metadata } = object.metadata
  return { ...object, metadata: { ...metadata, name: textAt(metadata, 'name') ?? textAt(metadata, 'generateName') ?? '' } }
}

/** Where a template of Helm shows: broken YAML with braces, braces that YAML reads as a map for a key, or the values of a chart. */
function templateAt(document: Parsed, text: string): number | undefined {
  const [start, , end] = document.range
  const own = text.slice(start, Math.max(end, ...document.errors.map(({ pos }) => pos[1])))
  const braces = own.search(/\{\{-?\s*(?:\.Values|\.Release|\.Chart|\.Capabilities|include\s+")/)
  if (braces !== -1) return start + braces
  const opened = own.search(/\{\{/)
  if (opened === -1) return undefined
  if (document.errors.length > 0) return start + opened
  let found: number | undefined
  visit(document, {
    Pair(_, pair) {
      if (!isMap(pair.key) && !isSeq(pair.key)) return undefined
      found = pair.key.range?.[0] ?? start
      return visit.BREAK
    },
  })
  return found
}

/** The first map that has a key twice, or that lies too deep. */
function formIssue(document: Parsed): { readonly message: string; readonly offset: number } | undefined {
  let found: { readonly message: string; readonly offset: number } | undefined
  const stop = (message: string, node: unknown): symbol => {
    found = { message, offset: (node as { range?: [number, number, number] } | null)?.range?.[0] ?? 0 }
    return visit.BREAK
  }
  visit(document, {
    Collection(_, collection, path) {
      // Between a map and a map in it stands a pair.
      if (path.length > MANIFEST_LIMITS.depth) return stop(TOO_DEEP, collection)
      if (!isMap(collection)) return undefined
      const seen = new Set<string>()
      for (const { key } of collection.items) {
        const name = isScalar(key) ? String(key.value) : '<<'
        if (name !== '<<' && seen.has(name)) return stop(`the key ${name} stands twice in one map`, key)
        seen.add(name)
      }
      return undefined
    },
  })
  return found
}

/** Offset of the key of a field, or of the item of a list. */
function offsetOf(document: Parsed, path: Path): number {
  let node: unknown = document.contents
  let offset = document.contents?.range?.[0] ?? 0
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
      const range = (pair?.key as { range?: [number, number, number] } | undefined)?.range
      if (pair === undefined || range === undefined) break
      offset = range[0]
      node = pair.value
    } else if (isSeq(node)) {
      const item = node.items[Number(key)] as { range?: [number, number, number] } | undefined
      if (item?.range === undefined) break
      offset = item.range[0]
      node = item
    } else break
  }
  return offset
}
