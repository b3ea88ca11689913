import { buildModel, floats, node, value, weights } from './onnx/build-model.ts'

/** Columns of {@link addingModel}. */
export const WIDTH = 4

/**
 * y = x + `added`: whose answer it is can be read off it. `megabytes` of weights make it as large as wanted without making
 * it slower: the number is looked up in a table.
 */
export function addingModel(added: number, megabytes = 0): Uint8Array {
  const rows = Math.max(1, Math.round((megabytes * 1024 * 1024) / (4 * WIDTH)))
  return buildModel({
    input: [value('x', 'FP32', ['batch', WIDTH])],
    output: [value('y', 'FP32', ['batch', WIDTH])],
    node: [
      node('Slice', ['x', 'starts', 'ends', 'axes'], ['first']),
      node('Mul', ['first', 'zero'], ['zeros']),
      node('Squeeze', ['zeros', 'axes'], ['flat']),
      node('Cast', ['flat'], ['index'], { to: 7n }),
      node('Gather', ['table', 'index'], ['added']),
      node('Add', ['x', 'added'], ['y']),
    ],
    initializer: [
      weights('starts', 'INT64', [1], BigInt64Array.of(0n)),
      weights('ends', 'INT64', [1], BigInt64Array.of(1n)),
      weights('axes', 'INT64', [1], BigInt64Array.of(1n)),
      floats('zero', [1], 0),
      weights('table', 'FP32', [rows, WIDTH], new Float32Array(rows * WIDTH).fill(added)),
    ],
  })
}

/** What {@link addingModel} is asked over V2; its first number is 1. */
export const QUESTION: string = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, WIDTH], data: [1, 2, 3, 4] }] })
