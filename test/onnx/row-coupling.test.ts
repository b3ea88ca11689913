import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fromBinary } from '@bufbuild/protobuf'
import { ModelProtoSchema } from '../../src/onnx/generated/onnx_pb.js'
import { rowCoupling } from '../../src/onnx/row-coupling.ts'
import { buildModel, floats, node, value, weights } from './build-model.ts'

type Node = ReturnType<typeof node>

const some = (name: string, dims: number[]) =>
  floats(name, dims, ...Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => i / 10))

const ints = (name: string, ...values: number[]) => weights(name, 'INT64', [values.length], BigInt64Array.from(values, BigInt))

/** The coupling of a graph from x, [rows, 4] unless said otherwise, to y. */
function couplingOf(
  nodes: readonly Node[],
  { shape = ['batch', 4], initializer = [] }: { shape?: (string | number)[]; initializer?: object[] } = {},
) {
  const bytes = buildModel({
    input: [value('x', 'FP32', shape)],
    output: [value('y', 'FP32', ['batch', 2])],
    node: [...nodes],
    initializer: [...initializer, some('w', [4, 2]), some('b', [2])] as never,
  })
  return rowCoupling(fromBinary(ModelProtoSchema, bytes))
}

describe('rows of a batch are found to be independent', () => {
  for (const [what, nodes, options] of [
    ['a linear layer', [node('MatMul', ['x', 'w'], ['a']), node('Add', ['a', 'b'], ['c']), node('Softmax', ['c'], ['y'])]],
    ['Gemm', [node('Gemm', ['x', 'w', 'b'], ['y'])]],
    ['a reduction of each row', [node('ReduceMean', ['x', 'axes'], ['y'])], { initializer: [ints('axes', -1)] }],
    [
      'a picture',
      [node('Conv', ['x', 'k'], ['a']), node('GlobalAveragePool', ['a'], ['p']), node('Flatten', ['p'], ['y'])],
      { shape: ['batch', 3, 8, 8], initializer: [some('k', [2, 3, 3, 3])] },
    ],
    [
      'attention of each row, with its heads',
      [
        node('Reshape', ['x', 'heads'], ['a']),
        node('Transpose', ['a'], ['q'], { perm: [0n, 2n, 1n, 3n] }),
        node('Transpose', ['a'], ['k'], { perm: [0n, 2n, 3n, 1n] }),
        node('MatMul', ['q', 'k'], ['scores']),
        node('Softmax', ['scores'], ['shares'], { axis: -1n }),
        node('MatMul', ['shares', 'q'], ['mixed']),
        node('Transpose', ['mixed'], ['t'], { perm: [0n, 2n, 1n, 3n] }),
        node('Reshape', ['t', 'flat'], ['y']),
      ],
      { shape: ['batch', 'tokens', 8], initializer: [ints('heads', 0, 0, 2, 4), ints('flat', 0, 0, 8)] },
    ],
    [
      'an embedding',
      [node('Cast', ['x'], ['i'], { to: 7n }), node('Gather', ['w', 'i'], ['e']), node('ReduceSum', ['e', 'axes'], ['y'])],
      { initializer: [ints('axes', 1)] },
    ],
    [
      'a part of each row',
      [node('Slice', ['x', 'from', 'to', 'axes'], ['y'])],
      { initializer: [ints('from', 0), ints('to', 2), ints('axes', 1)] },
    ],
    [
      'a sequence, turned to where the operator wants it',
      [
        node('Unsqueeze', ['x', 'axes'], ['s']),
        node('Transpose', ['s'], ['t'], { perm: [1n, 0n, 2n] }),
        node('LSTM', ['t', 'wi', 'wr'], ['all', 'y'], { hidden_size: 2n }),
      ],
      { initializer: [ints('axes', 2), some('wi', [1, 8, 1]), some('wr', [1, 8, 2])] },
    ],
  ] as [string, Node[], object?][])
    it(what, () => assert.equal(couplingOf(nodes, options), undefined))
})

describe('an operator in which rows are not independent is named', () => {
  for (const [operator, nodes, options] of [
    ['DynamicQuantizeLinear', [node('DynamicQuantizeLinear', ['x'], ['q', 's', 'z']), node('DequantizeLinear', ['q', 's', 'z'], ['y'])]],
    ['ReduceMax', [node('ReduceMax', ['x'], ['m']), node('Div', ['x', 'm'], ['y'])]],
    ['ReduceSum', [node('ReduceSum', ['x', 'axes'], ['y'])], { initializer: [ints('axes', 0)] }],
    ['Softmax', [node('Softmax', ['x'], ['y'], { axis: 0n })]],
    ['TopK', [node('TopK', ['x', 'k'], ['y', 'i'], { axis: 0n })], { initializer: [ints('k', 1)] }],
    ['ArgMax', [node('ArgMax', ['x'], ['y'])]],
    ['CumSum', [node('CumSum', ['x', 'axis'], ['y'])], { initializer: [{ ...ints('axis', 0), dims: [] }] }],
    ['NonZero', [node('NonZero', ['x'], ['y'])]],
    ['Unique', [node('Unique', ['x'], ['y'])]],
    ['MatMul', [node('Transpose', ['x'], ['t']), node('MatMul', ['x', 't'], ['y'])]],
    ['Add', [node('Transpose', ['x'], ['t']), node('Add', ['x', 't'], ['y'])]],
    [
      'BatchNormalization',
      [node('BatchNormalization', ['x', 's', 's', 's', 's'], ['y'], { training_mode: 1n })],
      { initializer: [some('s', [4])] },
    ],
    [
      'LSTM',
      [node('Unsqueeze', ['x', 'axes'], ['s']), node('LSTM', ['s', 'wi', 'wr'], ['all', 'y'], { hidden_size: 2n })],
      { initializer: [ints('axes', 1), some('wi', [1, 8, 4]), some('wr', [1, 8, 2])] },
    ],
    ['Gather', [node('Gather', ['x', 'i'], ['y'])], { initializer: [ints('i', 0)] }],
    ['Einsum', [node('Einsum', ['x', 'x'], ['y'], { equation: 'ij,kj->ik' })]],
    ['RandomNormalLike', [node('RandomNormalLike', ['x'], ['y'])]],
    ['Reshape', [node('Reshape', ['x', 'shape'], ['y'])], { initializer: [ints('shape', 1, -1)] }],
    ['SequenceConstruct', [node('SequenceConstruct', ['x', 'x'], ['s']), node('ConcatFromSequence', ['s'], ['y'], { axis: 0n })]],
    ['Secret', [{ ...node('Secret', ['x'], ['y']), domain: 'example.org' }]],
  ] as [string, Node[], object?][])
    it(operator, () => assert.match(couplingOf(nodes, options) ?? 'none', new RegExp(`^${operator} `)))
})
