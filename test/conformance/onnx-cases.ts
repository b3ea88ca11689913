import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { TensorProtoSchema } from '../../src/onnx/generated/onnx_pb.js'
import { graphOf, readOnnx } from '../../src/onnx/model.ts'
import { tensorOfProto } from '../../src/onnx/tensor-proto.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

/** Inputs and the outputs that the authors of the suite recorded for them, in the order of the model. */
export interface DataSet {
  readonly inputs: readonly Tensor[]
  readonly outputs: readonly Tensor[]
}

/** One case of the backend test suite that the PyPI package `onnx` carries as files. */
export interface OnnxCase {
  readonly name: string
  readonly modelPath: string
  readonly rtol: number
  readonly atol: number
  /** Heavy models are served alone: the `light` ones build weights of up to half a gigabyte while they load. */
  readonly heavy: boolean
  readonly load: () => Promise<readonly DataSet[]>
}

/** What the runner of the suite allows where a case says nothing (onnx/backend/test/loader). */
const DEFAULT_TOLERANCE = { rtol: 1e-3, atol: 1e-7 }

/** Why a case is not served, and the words the server refuses it with. */
export interface Refusal {
  readonly reason: string
  readonly refusal: RegExp
}

/** Most models of the suite are of opset 6. ONNX Runtime promises opset 7 and later, and has kept some older kernels only. */
const tooOld = (operator: string, version: number): Refusal => ({
  reason: `ONNX Runtime 1.30 has no kernel for version ${version} of ${operator}, which opset 6 means`,
  refusal: new RegExp(`find an implementation for ${operator}\\(${version}\\)`),
})

const training: Refusal = {
  reason: 'the operator Gradient of ai.onnx.preview.training is not in ONNX Runtime 1.30',
  refusal: /ai\.onnx\.preview\.training:Gradient\(-1\) is not a registered function/,
}

/**
 * Cases that this server cannot serve. An entry is a promise too: the suite fails as soon as a listed case works, or is
 * refused for another reason.
 */
export const UNSUPPORTED: Readonly<Record<string, Refusal>> = {
  test_AvgPool1d: tooOld('AveragePool', 1),
  test_AvgPool1d_stride: tooOld('AveragePool', 1),
  test_AvgPool2d: tooOld('AveragePool', 1),
  test_AvgPool2d_stride: tooOld('AveragePool', 1),
  test_AvgPool3d: tooOld('AveragePool', 1),
  test_AvgPool3d_stride: tooOld('AveragePool', 1),
  test_AvgPool3d_stride1_pad0_gpu_input: tooOld('AveragePool', 1),
  test_BatchNorm1d_3d_input_eval: tooOld('BatchNormalization', 6),
  test_BatchNorm2d_eval: tooOld('BatchNormalization', 6),
  test_BatchNorm2d_momentum_eval: tooOld('BatchNormalization', 6),
  test_BatchNorm3d_eval: tooOld('BatchNormalization', 6),
  test_BatchNorm3d_momentum_eval: tooOld('BatchNormalization', 6),
  test_GLU: tooOld('Mul', 6),
  test_GLU_dim: tooOld('Mul', 6),
  test_Linear: tooOld('Gemm', 6),
  test_PReLU_1d: tooOld('PRelu', 6),
  test_PReLU_1d_multiparam: tooOld('PRelu', 6),
  test_PReLU_2d: tooOld('PRelu', 6),
  test_PReLU_2d_multiparam: tooOld('PRelu', 6),
  test_PReLU_3d: tooOld('PRelu', 6),
  test_PReLU_3d_multiparam: tooOld('PRelu', 6),
  test_PoissonNLLLLoss_no_reduce: tooOld('Mul', 6),
  test_Softsign: tooOld('Add', 6),
  test_gradient_of_add: training,
  test_gradient_of_add_and_mul: training,
  test_operator_add_broadcast: tooOld('Add', 6),
  test_operator_add_size1_broadcast: tooOld('Add', 6),
  test_operator_add_size1_right_broadcast: tooOld('Add', 6),
  test_operator_add_size1_singleton_broadcast: tooOld('Add', 6),
  test_operator_addconstant: tooOld('Add', 6),
  test_operator_addmm: tooOld('Gemm', 6),
  test_operator_basic: tooOld('Add', 6),
  test_operator_mm: tooOld('Gemm', 6),
  test_operator_non_float_params: tooOld('Add', 6),
  test_operator_params: tooOld('Add', 6),
  test_operator_pow: tooOld('Pow', 1),
}

/** @param onnxFolder the folder of the installed Python package */
export async function findCases(onnxFolder: string): Promise<OnnxCase[]> {
  const data = join(onnxFolder, 'backend', 'test', 'data')
  const cases: OnnxCase[] = []
  for (const kind of (await readdir(data)).toSorted()) {
    for (const name of (await readdir(join(data, kind))).toSorted()) {
      // The models of `light` are named by the data.json of `real`.
      if (name.startsWith('test_')) cases.push(await readCase(onnxFolder, join(data, kind, name), name))
    }
  }
  return cases
}

async function readCase(onnxFolder: string, folder: string, name: string): Promise<OnnxCase> {
  const given = existsSync(join(folder, 'data.json'))
    ? (JSON.parse(await readFile(join(folder, 'data.json'), 'utf8')) as { rtol?: number; atol?: number; url?: string })
    : {}
  const tolerance = { rtol: given.rtol ?? DEFAULT_TOLERANCE.rtol, atol: given.atol ?? DEFAULT_TOLERANCE.atol }
  const own = join(folder, 'model.onnx')
  if (existsSync(own)) return { name, modelPath: own, ...tolerance, heavy: false, load: () => recordedSets(folder) }
  if (given.url === undefined) throw new Error(`${folder} has neither model.onnx nor an address in data.json`)
  const modelPath = join(onnxFolder, '..', given.url)
  return { name, modelPath, ...tolerance, heavy: true, load: async () => [await lightSet(modelPath)] }
}

async function recordedSets(folder: string): Promise<DataSet[]> {
  const sets = (await readdir(folder)).filter((entry) => entry.startsWith('test_data_set')).toSorted()
  return await Promise.all(
    sets.map(async (set) => ({
      inputs: await readTensors(join(folder, set), 'input'),
      outputs: await readTensors(join(folder, set), 'output'),
    })),
  )
}

async function readTensors(folder: string, kind: 'input' | 'output'): Promise<Tensor[]> {
  const tensors: Tensor[] = []
  for (let path = join(folder, `${kind}_0.pb`); existsSync(path); path = join(folder, `${kind}_${tensors.length}.pb`))
    tensors.push(await readTensor(path))
  return tensors
}

async function readTensor(path: string): Promise<Tensor> {
  return tensorOfProto(fromBinary(TensorProtoSchema, await readFile(path)))
}

/** The `light` cases come with outputs only; their inputs are what `Runner.generate_dummy_data` makes: 0, 1/n, 2/n, ... */
async function lightSet(modelPath: string): Promise<DataSet> {
  const graph = graphOf(await readOnnx(modelPath))
  const weights = new Set(graph.initializer.map((tensor) => tensor.name))
  const inputs = graph.input
    .filter((input) => !weights.has(input.name))
    .map((input): Tensor => {
      const type = input.type?.value
      if (type?.case !== 'tensorType') throw new Error(`${modelPath}: input "${input.name}" is not a tensor`)
      const shape = (type.value.shape?.dim ?? []).map((dim) => (dim.value.case === 'dimValue' ? Number(dim.value.value) : 1))
      const count = shape.reduce((product, dim) => product * dim, 1)
      return { name: input.name, datatype: 'FP32', shape, data: Float32Array.from({ length: count }, (_, index) => index / count) }
    })
  const outputs = await Promise.all(graph.output.map((_, index) => readTensor(modelPath.replace(/\.onnx$/, `_output_${index}.pb`))))
  return { inputs, outputs }
}
