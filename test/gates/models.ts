import { join } from 'node:path'
import { buildModel, floats, node, value } from '../onnx/build-model.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const FEATURES = `features:
  - { name: age, type: number, minimum: 0, maximum: 100 }
  - { name: vip, type: boolean }
`

/** A classifier by its log odds: age * age + vip * vip + bias. @returns its folder */
export async function classifier(
  folder: TemporaryFolder,
  name: string,
  { age, vip = 0, bias = 0, more = '' }: { age: number; vip?: number; bias?: number; more?: string },
): Promise<string> {
  await folder.write(
    `${name}/model.onnx`,
    buildModel({
      input: [value('x', 'FP32', ['batch', 2])],
      output: [value('probabilities', 'FP32', ['batch', 2])],
      node: [node('Gemm', ['x', 'w', 'b'], ['scores']), node('Softmax', ['scores'], ['probabilities'], { axis: 1n })],
      initializer: [floats('w', [2, 2], 0, age, 0, vip), floats('b', [2], 0, bias)],
    }),
  )
  await folder.write(`${name}/slipway.yaml`, `${FEATURES}answer: { task: classification, labels: [no, yes] }\n${more}`)
  return join(folder.path, name)
}

/** A regressor: age * age + vip * vip; where `root` is set the square root of that, which of a negative number is none. */
export async function regressor(
  folder: TemporaryFolder,
  name: string,
  { age, vip = 0, root = false }: { age: number; vip?: number; root?: boolean },
): Promise<string> {
  await folder.write(
    `${name}/model.onnx`,
    buildModel({
      input: [value('x', 'FP32', ['batch', 2])],
      output: [value('y', 'FP32', ['batch', 1])],
      node: root ? [node('MatMul', ['x', 'w'], ['sum']), node('Sqrt', ['sum'], ['y'])] : [node('MatMul', ['x', 'w'], ['y'])],
      initializer: [floats('w', [2, 1], age, vip)],
    }),
  )
  await folder.write(`${name}/slipway.yaml`, `${FEATURES}answer: { task: regression }\n`)
  return join(folder.path, name)
}
