import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isSlipwayError } from '../../src/core/errors.ts'
import { openInline } from '../../src/engine/inline.ts'
import { openProcess } from '../../src/engine/process.ts'
import { openThread } from '../../src/engine/thread.ts'
import { inspectOnnx } from '../../src/onnx/inspect.ts'
import { copyTensor } from '../../src/tensor/tensor.ts'
import { buildModel, closing, instanceSpec, node, value } from '../onnx/build-model.ts'
import { ALL_DATATYPES, contents, tensorOf } from '../tensor/values.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Instance, InstanceSpec } from '../../src/engine/instance.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

const TIMEOUT_MS = 30_000
const kinds: readonly (readonly [Instance['kind'], (spec: InstanceSpec) => Promise<Instance>])[] = [
  ['inline', openInline],
  ['thread', (spec) => openThread(spec, { runTimeoutMs: TIMEOUT_MS })],
  ['process', (spec) => openProcess(spec, { runTimeoutMs: TIMEOUT_MS, memoryLimitMb: undefined })],
]

/** One pair of input and output for each datatype, of any shape: <name> goes to <name>_out unchanged. */
function everyDatatype(): Uint8Array {
  return buildModel({
    input: ALL_DATATYPES.map((datatype) => value(datatype, datatype)),
    output: ALL_DATATYPES.map((datatype) => value(`${datatype}_out`, datatype)),
    node: ALL_DATATYPES.map((datatype) => node('Identity', [datatype], [`${datatype}_out`])),
  })
}

async function load(bytes: Uint8Array): Promise<InstanceSpec & { readonly folder: AsyncDisposable }> {
  const folder = await temporaryFolder()
  return { ...instanceSpec(await inspectOnnx(await folder.write('model.onnx', bytes))), folder }
}

const inputsOf = (shape: readonly number[]): Tensor[] => ALL_DATATYPES.map((datatype) => tensorOf(datatype, shape, datatype))
const expectedOf = (inputs: readonly Tensor[], names: readonly string[]): unknown =>
  names.map((name) => ({ ...(contents(inputs.find((input) => `${input.name}_out` === name)!) as object), name }))

for (const [kind, open] of kinds) {
  describe(`an instance of kind ${kind}`, () => {
    it('carries every datatype unchanged: vectors, matrices, scalars, and tensors without elements', async () => {
      const { folder, ...spec } = await load(everyDatatype())
      await using _ = folder
      await using instance = closing(await open(spec))
      assert.equal(instance.kind, kind)
      const names = spec.outputs.map((output) => output.name)
      for (const shape of [[13], [3, 2, 2], [], [1], [0], [2, 0, 3]]) {
        const inputs = inputsOf(shape)
        const { computeUs, outputs } = await instance.run(inputs.map(copyTensor), names)
        assert.deepEqual(outputs.map(contents), expectedOf(inputs, names), `shape [${shape.join()}]`)
        assert.ok(computeUs >= 0)
        assert.equal(instance.busy, false)
      }
    })

    it('gives the outputs that were asked for, in the order asked', async () => {
      const { folder, ...spec } = await load(everyDatatype())
      await using _ = folder
      await using instance = closing(await open(spec))
      const inputs = inputsOf([2])
      for (const names of [['INT64_out'], ['BYTES_out', 'BF16_out', 'BOOL_out'], ['FP32_out', 'FP16_out']]) {
        const { outputs } = await instance.run(inputs.map(copyTensor), names)
        assert.deepEqual(outputs.map(contents), expectedOf(inputs, names))
      }
    })

    it('refuses inputs that the model cannot run with, and goes on', async () => {
      const { folder, ...spec } = await load(
        buildModel({
          input: [value('table', 'FP32', [-1]), value('at', 'INT64', [-1])],
          output: [value('y', 'FP32', [-1])],
          node: [node('Gather', ['table', 'at'], ['y'])],
        }),
      )
      await using _ = folder
      await using instance = closing(await open(spec))
      const run = (at: bigint): ReturnType<Instance['run']> =>
        instance.run(
          [
            { name: 'table', datatype: 'FP32', shape: [2], data: Float32Array.of(5, 6) },
            { name: 'at', datatype: 'INT64', shape: [1], data: BigInt64Array.of(at) },
          ],
          ['y'],
        )
      await assert.rejects(
        run(9n),
        (error: unknown) => isSlipwayError(error) && error.code === 'SLW_RUN_REJECTED' && /out of data bounds|idx=9/.test(error.message),
      )
      assert.deepEqual([...((await run(1n)).outputs[0]!.data as Float32Array)], [6])
    })

    it('a model that the runtime cannot load is refused in its words', async () => {
      const { folder, ...spec } = await load(
        buildModel({ input: [value('x', 'FP32', [1])], output: [value('y', 'FP32', [1])], node: [node('NoSuchOperator', ['x'], ['y'])] }),
      )
      await using _ = folder
      await assert.rejects(
        open(spec),
        (error: unknown) => isSlipwayError(error) && error.code === 'SLW_LOAD_FAILED' && /NoSuchOperator/.test(error.message),
      )
    })

    it('a closed instance runs nothing, and may be closed again', async () => {
      const { folder, ...spec } = await load(everyDatatype())
      await using _ = folder
      const instance = await open(spec)
      await Promise.all([instance.close(), instance.close()])
      await assert.rejects(
        instance.run(inputsOf([1]), ['FP32_out']),
        (error: unknown) => isSlipwayError(error) && ['SLW_CLOSED', 'SLW_INSTANCE_FAILED'].includes(error.code),
      )
    })
  })
}
