/** Models for the dialects of other servers, each as small as what it shows. */
import { buildModel, floats, node, value, weights } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

/** y = x / 2 + 2, as TensorFlow Serving's own examples have it. */
export function halfPlusTwo(add = 2): Uint8Array {
  return buildModel({
    input: [value('x', 'FP32', ['batch', 1])],
    output: [value('y', 'FP32', ['batch', 1])],
    node: [node('Mul', ['x', 'half'], ['halved']), node('Add', ['halved', 'more'], ['y'])],
    initializer: [floats('half', [1], 0.5), floats('more', [1], add)],
  })
}

/** Two inputs as they are, and the first one by rows of one: outputs of several names, datatypes and shapes. */
function several(): Uint8Array {
  return buildModel({
    input: [value('number', 'INT64', ['batch']), value('words', 'BYTES', ['batch', 2])],
    output: [value('same', 'INT64', ['batch']), value('words_bytes', 'BYTES', ['batch', 2])],
    node: [node('Identity', ['number'], ['same']), node('Identity', ['words'], ['words_bytes'])],
  })
}

/** Floats as they are. */
function wide(): Uint8Array {
  return buildModel({
    input: [value('x', 'FP32', ['batch', 'width'])],
    output: [value('z', 'FP32', ['batch', 'width'])],
    node: [node('Identity', ['x'], ['z'])],
  })
}

/** A folder with `half_plus_two` in two versions, `several`, `wide`; `broken` is no model. */
export async function servedModels(): Promise<TemporaryFolder> {
  const folder = await temporaryFolder()
  await folder.write('half_plus_two/1/model.onnx', halfPlusTwo(1))
  await folder.write('half_plus_two/2/model.onnx', halfPlusTwo())
  await folder.write('several/1/model.onnx', several())
  await folder.write('wide/1/model.onnx', wide())
  return folder
}

/** As many numbers as there are rows, of which a thousand take a while. */
export function slow(): Uint8Array {
  const side = 512
  const layers = Array.from({ length: 12 }, (_, index) => node('MatMul', [`h${index}`, 'w'], [`h${index + 1}`]))
  return buildModel({
    input: [value('x', 'FP32', ['batch', 1])],
    output: [value('y', 'FP32', ['batch', 1])],
    node: [node('MatMul', ['x', 'wide'], ['h0']), ...layers, node('MatMul', ['h12', 'narrow'], ['y'])],
    initializer: [
      floats('wide', [1, side], ...Array.from({ length: side }, () => 1)),
      weights('w', 'FP32', [side, side], new Float32Array(side * side).fill(1 / side)),
      floats('narrow', [side, 1], ...Array.from({ length: side }, () => 1 / side)),
    ],
  })
}
