import { statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { normalize } from 'node:path'
import { createRequire } from 'node:module'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { DATATYPES } from '../tensor/datatype.ts'
import { allocate } from '../tensor/tensor.ts'
import { forbidTelemetry } from './telemetry.ts'
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import type { InstanceSpec, ModelSource, RunResult } from './instance.ts'
import type { TypedTensorData } from '../tensor/datatype.ts'
import type { Tensor } from '../tensor/tensor.ts'

type Ort = typeof import('onnxruntime-node')

let loaded: Ort | undefined

/** The one place that loads onnxruntime-node. */
function loadOrt(): Ort {
  if (loaded !== undefined) return loaded
  forbidTelemetry()
  const holder = globalThis as { Float16Array?: unknown }
  const native = holder.Float16Array
  // The binding (1.30) takes FP16 as Uint16Array only, but its JavaScript side picks the global Float16Array when there is one. The choice
  // is made once, at the first tensor: the global is hidden until then.
  delete holder.Float16Array
  try {
    const ort = createRequire(import.meta.url)('onnxruntime-node') as Ort
    ort.env.logLevel = 'fatal'
    const first = new ort.Tensor('float16', new Uint16Array(1), [1])
    first.dispose()
    loaded = ort
    return ort
  } catch (error) {
    throw new SlipwayError(
      'SLW_DEPENDENCY_MISSING',
      `onnxruntime-node cannot be loaded (${messageOf(error)}); install it with: npm install --ignore-scripts onnxruntime-node`,
      { cause: error },
    )
  } finally {
    if (native !== undefined) holder.Float16Array = native
  }
}

/** Release of the runtime; '' where it is not installed. */
export function runtimeVersion(): string {
  try {
    return (createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string }).version
  } catch {
    return ''
  }
}

/** Loads the library before there is a model for it. */
export function prepareRuntime(): void {
  loadOrt()
}

/** Bytes of the files of a model: the minimum that a session holds. */
export function weightsOf({ source }: InstanceSpec): number {
  const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0
  const own = 'path' in source ? sizeOf(source.path) : source.bytes.byteLength
  return (source.external ?? []).reduce((sum, { path }) => sum + sizeOf(path), own)
}

/** A model loaded into ONNX Runtime on the calling thread. */
export interface Session {
  run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<RunResult>
  close(): Promise<void>
}

/** @throws SLW_LOAD_FAILED with the message of the runtime */
export async function openSession(spec: InstanceSpec): Promise<Session> {
  const ort = loadOrt()
  const options: InferenceSession.SessionOptions = {
    intraOpNumThreads: spec.threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    executionProviders: ['cpu'],
    // A model whose declared output shapes are wrong would print a warning at every run, and errors are thrown anyway.
    logSeverityLevel: 4,
    // A pattern is kept for every shape of inputs, with a block for all of a run, and after pictures of many sizes the blocks stay. Runs
    // are as fast without.
    enableMemPattern: false,
    ...(await weightsInMemory(spec.source)),
    // Idle threads of the pool must not burn the cores that sockets and other instances need.
    ...(spec.threads > 1 && { extra: { session: { intra_op: { allow_spinning: '0' } } } }),
  }
  let session: InferenceSession
  try {
    session = await ('path' in spec.source
      ? ort.InferenceSession.create(spec.source.path, options)
      : ort.InferenceSession.create(spec.source.bytes, options))
  } catch (error) {
    throw new SlipwayError('SLW_LOAD_FAILED', `ONNX Runtime cannot load the model: ${tidy(messageOf(error))}`)
  }
  const bfloatOutputs = new Set(spec.outputs.filter((output) => output.datatype === 'BF16').map((output) => output.name))
  return {
    async run(inputs, outputs) {
      // An input may be called `__proto__`.
      const feeds = Object.create(null) as Record<string, OrtTensor>
      for (const input of inputs) feeds[input.name] = toOrt(ort, input)
      const started = performance.now()
      let results: InferenceSession.OnnxValueMapType
      try {
        results = await session.run(feeds, outputs)
      } catch (error) {
        throw runError(messageOf(error))
      }
      const computeUs = (performance.now() - started) * 1000
      return { outputs: outputs.map((name) => fromOrt(name, results[name] as OrtTensor, bfloatOutputs.has(name))), computeUs }
    },
    close: () => session.release(),
  }
}

/**
 * The external data of a model, read. The runtime would map the files: then whoever writes into one of them changes answers, and whoever
 * shortens one ends the process. It copies what it is given (seen with 1.30), so the buffers are free once the session is made.
 */
async function weightsInMemory({ external = [] }: ModelSource): Promise<Pick<InferenceSession.SessionOptions, 'externalData'>> {
  if (external.length === 0) return {}
  return {
    externalData: await Promise.all(
      external.map(async ({ location, path }) => ({ path: normalize(location), data: await readWhole(path) })),
    ),
  }
}

/** Reads at most so much at once: larger reads are not taken by every system. */
const READ_BYTES = 1 << 30

async function readWhole(path: string): Promise<Uint8Array> {
  await using file = await open(path)
  const { size } = await file.stat()
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size;) {
    const { bytesRead } = await file.read(bytes, at, Math.min(size - at, READ_BYTES), at)
    if (bytesRead === 0)
      throw new SlipwayError('SLW_LOAD_FAILED', `${path} ended after ${at} of ${size} bytes: it was written to meanwhile`)
    at += bytesRead
  }
  return bytes
}

function toOrt(ort: Ort, tensor: Tensor): OrtTensor {
  const type = DATATYPES[tensor.datatype].ort
  const data = tensor.datatype === 'BF16' ? widen(tensor.data as Uint16Array) : tensor.data
  return new (ort.Tensor as unknown as new (type: string, data: unknown, dims: readonly number[]) => OrtTensor)(type, data, tensor.shape)
}

const DATATYPE_OF_ORT = new Map(
  Object.entries(DATATYPES)
    .filter(([name]) => name !== 'BF16')
    .map(([name, info]) => [info.ort as string, name as Tensor['datatype']]),
)

function fromOrt(name: string, value: OrtTensor, bfloat: boolean): Tensor {
  const datatype = DATATYPE_OF_ORT.get(value.type)
  if (datatype === undefined) throw new SlipwayError('SLW_MODEL_UNSUPPORTED', `output "${name}" is a tensor of ${value.type}`)
  if (bfloat) return { name, datatype: 'BF16', shape: value.dims, data: narrow(value.data as Float32Array) }
  return { name, datatype, shape: value.dims, data: value.data as TypedTensorData }
}

/** BF16 is the upper half of FP32, so both directions are exact for values that a Cast produced. */
function widen(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length)
  for (let index = 0; index < bits.length; index++) words[index] = bits[index]! << 16
  return new Float32Array(words.buffer)
}

function narrow(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const bits = allocate('BF16', values.length) as Uint16Array
  for (let index = 0; index < bits.length; index++) bits[index] = words[index]! >>> 16
  return bits
}

/** The error message of the runtime without its source paths. */
function tidy(message: string): string {
  return message.replaceAll(/\/(?:[\w.@-]+\/)+(?:onnxruntime|include)\/\S+?:\d+ \S+ ?/g, '').trim()
}

/**
 * ONNX Runtime for JavaScript passes on the text of an error without its status code. A kernel that fails on inputs which fit the signature
 * failed because of their values (an index out of bounds, shapes that do not go together): the caller has to mend them, unless the kernel
 * ran out of memory.
 */
const ABOUT_INPUTS = /non-zero status code returned|got invalid dimensions|invalid rank|unexpected input data type/i
const ABOUT_MEMORY = /alloc|out of memory/i

function runError(message: string): SlipwayError {
  const text = tidy(message)
  return ABOUT_INPUTS.test(text) && !ABOUT_MEMORY.test(text)
    ? new SlipwayError('SLW_RUN_REJECTED', `the model refused the inputs: ${text}`)
    : new SlipwayError('SLW_RUN_FAILED', `the model failed: ${text}`)
}
