import type { FeatureSpec } from './model-package.ts'
import type { SignatureDocument, TensorDocument } from './signature-document.ts'

/** `additive`: clients of the one version can use the other, which can do more. `unknown`: one of them has no signature. */
export type Compatibility = 'compatible' | 'additive' | 'breaking' | 'unknown'

/** One difference between two signatures. */
export interface SignatureChange {
  /** `inputs.x.datatype`, `features.plan.categories`. */
  readonly path: string
  readonly effect: 'compatible' | 'additive' | 'breaking'
  /** Description in words, for the person who decides. */
  readonly message: string
}

export interface SignatureDiff {
  readonly compatibility: Compatibility
  readonly changes: readonly SignatureChange[]
}

type Note = (effect: SignatureChange['effect'], path: string, message: string) => void

/**
 * Whether clients of `before` can go on with `after`: every request that `before` understood must be understood, and every answer must be
 * one that `before` could give. So inputs may become wider and outputs narrower, never the other way round.
 */
export function compareSignatures(before: SignatureDocument | undefined, after: SignatureDocument | undefined): SignatureDiff {
  if (before === undefined || after === undefined) return { compatibility: 'unknown', changes: [] }
  const changes: SignatureChange[] = []
  const note: Note = (effect, path, message) => void changes.push({ effect, path, message })
  compareTensors('inputs', before.inputs, after.inputs, note)
  compareTensors('outputs', before.outputs, after.outputs, note)
  compareRows(before, after, note)
  compareLabels(before.labels, after.labels, note)
  if (before.task !== after.task && before.task !== undefined && after.task !== undefined)
    note('breaking', 'task', `answers were those of a ${before.task}, now of a ${after.task}`)
  const effects = new Set(changes.map(({ effect }) => effect))
  const compatibility = effects.has('breaking') ? 'breaking' : effects.has('additive') ? 'additive' : 'compatible'
  return { compatibility, changes }
}

function compareTensors(side: 'inputs' | 'outputs', before: readonly TensorDocument[], after: readonly TensorDocument[], note: Note): void {
  const later = new Map(after.map((tensor) => [tensor.name, tensor]))
  const what = side === 'inputs' ? 'input' : 'output'
  for (const tensor of before) {
    const path = `${side}.${tensor.name}`
    const other = later.get(tensor.name)
    later.delete(tensor.name)
    if (other === undefined) note('breaking', path, `${what} "${tensor.name}" is gone`)
    else compareTensor(side, tensor, other, note)
  }
  for (const { name, optional } of later.values()) {
    const needed = side === 'inputs' && optional !== true
    note(needed ? 'breaking' : 'additive', `${side}.${name}`, `${what} "${name}" is new${needed ? ', and requests must have it' : ''}`)
  }
}

function compareTensor(side: 'inputs' | 'outputs', before: TensorDocument, after: TensorDocument, note: Note): void {
  const path = `${side}.${before.name}`
  if (before.datatype !== after.datatype)
    note('breaking', `${path}.datatype`, `"${before.name}" was ${before.datatype}, is ${after.datatype}`)
  if (side === 'inputs' && before.optional === true && after.optional !== true)
    note('breaking', `${path}.optional`, `requests without "${before.name}" are not understood any more`)
  if (side === 'inputs' && before.optional !== true && after.optional === true)
    note('additive', `${path}.optional`, `"${before.name}" may be left out now`)
  const shapes = `"${before.name}" was [${shapeOf(before)}], is [${shapeOf(after)}]`
  const accepts = side === 'inputs' ? covers(after, before) : covers(before, after)
  const same = shapeOf(before) === shapeOf(after)
  if (!accepts) note('breaking', `${path}.shape`, shapes)
  else if (!same) note(side === 'inputs' ? 'additive' : 'compatible', `${path}.shape`, shapes)
}

function shapeOf({ shape, anyRank }: TensorDocument): string {
  return anyRank === true ? '...' : shape.join(', ')
}

/** Whether every shape of `narrow` is one of `wide`. */
function covers(wide: TensorDocument, narrow: TensorDocument): boolean {
  if (wide.anyRank === true) return true
  if (narrow.anyRank === true || wide.shape.length !== narrow.shape.length) return false
  return wide.shape.every((dim, axis) => dim === -1 || dim === narrow.shape[axis])
}

/** Compares the rows that people send: feature by feature where both name theirs; rows end where `after` stops naming features. */
function compareRows(before: SignatureDocument, after: SignatureDocument, note: Note): void {
  if (before.image === true && after.image !== true) note('breaking', 'image', 'pictures are not understood any more')
  if (before.image !== true && after.image === true) note('additive', 'image', 'takes pictures now')
  if (before.features === undefined) {
    if (after.features !== undefined) note('additive', 'features', 'rows have named features now')
    return
  }
  if (after.features === undefined) {
    note('breaking', 'features', 'rows with named features are not understood any more')
    return
  }
  const later = new Map(after.features.map((feature) => [feature.name, feature]))
  for (const feature of before.features) {
    const other = later.get(feature.name)
    later.delete(feature.name)
    if (other === undefined) note('breaking', `features.${feature.name}`, `feature "${feature.name}" is gone`)
    else compareFeature(feature, other, note)
  }
  for (const { name, default: given } of later.values())
    note(
      given === undefined ? 'breaking' : 'additive',
      `features.${name}`,
      `feature "${name}" is new${given === undefined ? ', and rows must have it' : ''}`,
    )
}

function compareFeature(before: FeatureSpec, after: FeatureSpec, note: Note): void {
  const path = `features.${before.name}`
  const name = `feature "${before.name}"`
  const wider = before.type === 'integer' && after.type === 'number'
  if (before.type !== after.type)
    note(wider ? 'additive' : 'breaking', `${path}.type`, `${name} was of type ${before.type}, is of type ${after.type}`)
  if (before.length !== after.length)
    note('breaking', `${path}.length`, `${name} had ${before.length ?? 1} values, has ${after.length ?? 1}`)
  if (before.default !== undefined && after.default === undefined)
    note('breaking', `${path}.default`, `rows without ${name} are not understood any more`)
  if (before.default === undefined && after.default !== undefined) note('additive', `${path}.default`, `${name} may be left out now`)
  compareRange({ before, after }, path, name, note)
  if (before.categories === undefined && after.categories === undefined) return
  const [had, has] = [new Set(before.categories), new Set(after.categories)]
  const gone = [...had].filter((value) => after.categories !== undefined && !has.has(value))
  const come = [...has].filter((value) => before.categories !== undefined && !had.has(value))
  if (gone.length > 0) note('breaking', `${path}.categories`, `${name} does not take ${gone.map(quoted).join(', ')} any more`)
  if (before.categories === undefined) note('breaking', `${path}.categories`, `${name} takes ${[...has].map(quoted).join(', ')} only`)
  if (come.length > 0) note('additive', `${path}.categories`, `${name} takes ${come.map(quoted).join(', ')} now`)
}

function compareRange({ before, after }: { before: FeatureSpec; after: FeatureSpec }, path: string, name: string, note: Note): void {
  const [low, lowNow] = [before.minimum ?? Number.NEGATIVE_INFINITY, after.minimum ?? Number.NEGATIVE_INFINITY]
  const [high, highNow] = [before.maximum ?? Number.POSITIVE_INFINITY, after.maximum ?? Number.POSITIVE_INFINITY]
  if (low === lowNow && high === highNow) return
  const breaks = lowNow > low || highNow < high
  note(breaks ? 'breaking' : 'additive', `${path}.range`, `${name} took ${low} to ${high}, takes ${lowNow} to ${highNow}`)
}

/** The index of a label is the index of its probability. */
function compareLabels(before: SignatureDocument['labels'], after: SignatureDocument['labels'], note: Note): void {
  if (before === undefined || after === undefined) {
    if (before !== after)
      note(
        before === undefined ? 'additive' : 'breaking',
        'labels',
        before === undefined ? 'labels are named now' : 'labels are not named any more',
      )
    return
  }
  if (before.some((label, index) => label !== after[index]))
    note('breaking', 'labels', `labels were ${before.map(quoted).join(', ')}, are ${after.map(quoted).join(', ')}`)
  else if (after.length > before.length)
    note('additive', 'labels', `answers can be ${after.slice(before.length).map(quoted).join(', ')} now`)
}

function quoted(value: unknown): string {
  return JSON.stringify(value) ?? ''
}
