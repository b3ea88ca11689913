import { open as openFile } from 'node:fs/promises'
import { normalize } from 'node:path'
import { SlipwayError } from '../core/errors.ts'
import { graphOf, graphs, readOnnx, tensors, writeOnnx } from './model.ts'
import { expandedNodes, NODES_MAX, openEnded } from './open-ended.ts'
import { rowCoupling } from './row-coupling.ts'
import { checkSafety } from './safety.ts'
import { refuseUnsupported, rewriteForRuntime } from './rewrite.ts'
import { valueType } from './value-type.ts'
import type { ExternalData, ExternalFile } from './safety.ts'
import type { ModelProto } from './model.ts'
import type { OpenEnded } from './open-ended.ts'
import type { Rewrite } from './rewrite.ts'
import type { TensorSpec } from '../tensor/tensor.ts'

/** Description of an ONNX file, and the form in which the runtime loads it. */
export interface OnnxModel {
  readonly format: 'onnx'
  readonly path: string
  readonly irVersion: number
  readonly opsets: readonly { readonly domain: string; readonly version: number }[]
  readonly producer: string
  readonly graphName: string
  readonly metadata: Readonly<Record<string, string>>
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  /** Number of nodes per operator, subgraphs counted. */
  readonly operators: Readonly<Record<string, number>>
  readonly parameterCount: number
  readonly externalFiles: readonly ExternalFile[]
  readonly rewrite: Rewrite
  /** The operator in which rows of a batch are not independent, and why; undefined if there is none. */
  readonly rowCoupling: string | undefined
  /** What values of a request may draw out: the duration of a run, and the size of its outputs. */
  readonly openEnded: OpenEnded
  /** Class labels that a classifier node of the graph carries, if any. */
  readonly classLabels: readonly (string | number)[] | undefined
  /** The model to load where the file cannot be used as it is; its external data stays in the files. */
  readonly rewrittenBytes: Uint8Array | undefined
}

/**
 * Reads, checks and, where needed, rewrites a model.
 * @throws SLW_MODEL_INVALID, SLW_MODEL_UNSAFE, SLW_MODEL_UNSUPPORTED
 */
export async function inspectOnnx(path: string): Promise<OnnxModel> {
  const model = await readOnnx(path)
  const nodes = expandedNodes(model)
  if (nodes > NODES_MAX)
    throw new SlipwayError(
      'SLW_MODEL_UNSAFE',
      `${path}: ${Number.isFinite(nodes) ? `its functions come to ${nodes} nodes when they are put in their places, ${NODES_MAX} are allowed` : 'its functions use themselves, or its graphs lie too deep inside one another'}`,
    )
  const external = await checkSafety(model, path)
  const bfloat = bfloatEdges(model)
  await inlineExternal(model, external, path, initialisedInputs(model))
  const coupling = rowCoupling(model)
  const rewrite = rewriteForRuntime(model)
  // Of the model as it runs: an input with a default is one that requests may give.
  const open = openEnded(model)
  refuseUnsupported(model, path)
  const graph = graphOf(model)
  const restore = (spec: TensorSpec): TensorSpec => (bfloat.has(spec.name) ? { ...spec, datatype: 'BF16' } : spec)
  const operators: Record<string, number> = {}
  for (const inner of graphs(graph)) for (const node of inner.node) operators[node.opType] = (operators[node.opType] ?? 0) + 1
  let parameterCount = 0
  for (const tensor of graph.initializer) parameterCount += tensor.dims.reduce((product, dim) => product * Number(dim), 1)
  const classLabels = classifierLabels(model)
  let rewrittenBytes: Uint8Array | undefined
  const renamed = normaliseLocations(external)
  if (rewrite.changes.length > 0 || renamed) rewrittenBytes = writeOnnx(model)
  return {
    format: 'onnx',
    path,
    irVersion: Number(model.irVersion),
    opsets: model.opsetImport.map((opset) => ({ domain: opset.domain === '' ? 'ai.onnx' : opset.domain, version: Number(opset.version) })),
    producer: [model.producerName, model.producerVersion].filter((part) => part !== '').join(' '),
    graphName: graph.name,
    metadata: Object.fromEntries(model.metadataProps.map((entry) => [entry.key, entry.value])),
    inputs: graph.input.map(specOf).map(restore),
    outputs: graph.output.map(specOf).map(restore),
    operators,
    parameterCount,
    externalFiles: [...new Map(external.map(({ location, path: file }) => [location, { location, path: file }])).values()],
    rewrite,
    rowCoupling: coupling,
    openEnded: open,
    classLabels,
    rewrittenBytes,
  }
}

/** Names of initialisers that are also inputs: the rewrite needs their values. */
function initialisedInputs(model: ModelProto): Set<string> {
  const names = new Set(graphOf(model).input.map((input) => input.name))
  return model.irVersion < 4n
    ? new Set()
    : new Set([...names].filter((name) => graphOf(model).initializer.some((tensor) => tensor.name === name)))
}

function specOf(value: Parameters<typeof valueType>[0]): TensorSpec {
  const type = valueType(value)
  if ('unsupported' in type) throw new SlipwayError('SLW_MODEL_UNSUPPORTED', `"${value.name}" is ${type.unsupported}`)
  return type.spec
}

function bfloatEdges(model: ModelProto): Set<string> {
  const names = new Set<string>()
  const graph = graphOf(model)
  for (const value of [...graph.input, ...graph.output]) {
    const type = valueType(value)
    if ('spec' in type && type.spec.datatype === 'BF16') names.add(value.name)
  }
  return names
}

/** Labels in the attributes of the tree, linear and SVM classifiers of ai.onnx.ml. */
function classifierLabels(model: ModelProto): readonly (string | number)[] | undefined {
  for (const node of graphOf(model).node) {
    if (!node.opType.endsWith('Classifier')) continue
    for (const attribute of node.attribute) {
      if (!attribute.name.startsWith('classlabels')) continue
      if (attribute.strings.length > 0) return attribute.strings.map((bytes) => Buffer.from(bytes).toString('utf8'))
      if (attribute.ints.length > 0) return attribute.ints.map(Number)
    }
  }
  return undefined
}

/** The runtime finds data that is given to it under plain paths only: `weights.bin`, not `./weights.bin`. @returns whether one was not plain */
function normaliseLocations(external: readonly ExternalData[]): boolean {
  let changed = false
  for (const { proto, location } of external)
    for (const entry of proto.externalData)
      if (entry.key === 'location' && normalize(location) !== location) {
        entry.value = normalize(location)
        changed = true
      }
  return changed
}

/** Moves external data of some tensors into the model. */
async function inlineExternal(
  model: ModelProto,
  external: readonly ExternalData[],
  path: string,
  only: ReadonlySet<string>,
): Promise<void> {
  const byTensor = new Map(external.map((part) => [part.proto, part]))
  for (const tensor of tensors(model)) {
    const part = byTensor.get(tensor)
    if (part === undefined || (tensor.dataLocation as number) !== 1 || !only.has(tensor.name)) continue
    await using file = await openFile(part.path)
    const length = part.length ?? (await file.stat()).size - part.offset
    const bytes = Buffer.alloc(length)
    const { bytesRead } = await file.read(bytes, 0, length, part.offset)
    if (bytesRead !== length)
      throw new SlipwayError('SLW_MODEL_INVALID', `${path}: "${part.location}" ended after ${bytesRead} of ${length} bytes`)
    tensor.rawData = bytes
    tensor.externalData = []
    tensor.dataLocation = 0
  }
}
