import { create } from '@bufbuild/protobuf'
import {
  AttributeProto_AttributeType,
  FunctionProtoSchema,
  GraphProtoSchema,
  OperatorSetIdProtoSchema,
} from '../../src/onnx/generated/onnx_pb.js'
import { parseOnnx, writeOnnx } from '../../src/onnx/model.ts'
import { buildModel, floats, node, value, weights } from '../onnx/build-model.ts'
import type { NodeInit } from '../onnx/build-model.ts'
import type { TensorProto, ValueInfoProto } from '../../src/onnx/generated/onnx_pb.js'

interface GraphInit {
  readonly input?: ValueInfoProto[]
  readonly output: ValueInfoProto[]
  readonly node: NodeInit[]
  readonly initializer?: TensorProto[]
}

/** A node with graphs inside, such as If and Loop. */
export function nodeWithGraphs(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  graphs: Readonly<Record<string, GraphInit>>,
): NodeInit {
  return {
    opType,
    input: [...input],
    output: [...output],
    attribute: Object.entries(graphs).map(([name, graph]) => ({
      name,
      type: AttributeProto_AttributeType.GRAPH,
      g: create(GraphProtoSchema, { name, ...graph }),
    })),
  }
}

const integer = (name: string, number: bigint): TensorProto => weights(name, 'INT64', [], BigInt64Array.of(number))

/** A loop that goes on while its condition is true, which it always is: y = x + 1 + 1 + ... */
function endless(from: string, to: string, rounds = ''): NodeInit {
  return nodeWithGraphs('Loop', [rounds, 'always', from], [to], {
    body: {
      input: [value('round', 'INT64', []), value('going', 'BOOL', []), value('sum', 'FP32', [1])],
      output: [value('goes', 'BOOL', []), value('more', 'FP32', [1])],
      node: [node('Identity', ['going'], ['goes']), node('Add', ['sum', 'one'], ['more'])],
    },
  })
}

/** Answers x at once, except where it is more than a million: then it never ends. */
export function hangsForLargeValues(): Uint8Array {
  return buildModel({
    input: [value('x', 'FP32', [1])],
    output: [value('y', 'FP32', [1])],
    node: [
      node('Greater', ['x', 'million'], ['is_large']),
      node('Squeeze', ['is_large'], ['large']),
      nodeWithGraphs('If', ['large'], ['y'], {
        then_branch: { output: [value('z', 'FP32', [1])], node: [endless('x', 'z')] },
        else_branch: { output: [value('w', 'FP32', [1])], node: [node('Identity', ['x'], ['w'])] },
      }),
    ],
    initializer: [floats('million', [1], 1e6), floats('one', [1], 1), weights('always', 'BOOL', [], Uint8Array.of(1))],
  })
}

/** Never answers. */
export function hangsForAllValues(): Uint8Array {
  return buildModel({
    input: [value('x', 'FP32', [1])],
    output: [value('y', 'FP32', [1])],
    node: [endless('x', 'y')],
    initializer: [floats('one', [1], 1), weights('always', 'BOOL', [], Uint8Array.of(1))],
  })
}

/** Answers as many zeros as the value says. */
export function asLargeAsItsValue(): Uint8Array {
  return buildModel({
    input: [value('x', 'INT64', [1])],
    output: [value('y', 'FP32', ['n'])],
    node: [node('Expand', ['zero', 'x'], ['y'])],
    initializer: [floats('zero', [1], 0)],
  })
}

/** Answers rows of 1000 times as many columns as were sent. */
export function wide(): Uint8Array {
  return buildModel({
    input: [value('x', 'FP32', ['batch', 'columns'])],
    output: [value('y', 'FP32', ['batch', 'columns', 1000])],
    node: [node('Unsqueeze', ['x', 'axis'], ['u']), node('Mul', ['u', 'ones'], ['y'])],
    initializer: [
      weights('axis', 'INT64', [1], BigInt64Array.of(2n)),
      floats('ones', [1, 1, 1000], ...Array.from({ length: 1000 }, () => 1)),
    ],
  })
}

/** A loop of a number of rounds that the model itself gives. */
export function countsToTen(): Uint8Array {
  return buildModel({
    input: [value('x', 'FP32', [1])],
    output: [value('y', 'FP32', [1])],
    node: [endless('x', 'y', 'ten')],
    initializer: [integer('ten', 10n), floats('one', [1], 1), weights('always', 'BOOL', [], Uint8Array.of(1))],
  })
}

/** Functions that each use the next one twice: two kilobytes, and 2 to the power of `levels` nodes when they are put in their places. */
export function nested(levels: number): Uint8Array {
  const model = parseOnnx(
    buildModel({
      input: [value('x', 'FP32', ['batch', 1])],
      output: [value('y', 'FP32', ['batch', 1])],
      node: [{ ...node('f0', ['x'], ['y']), domain: 'own' }],
    }),
    'test',
  )
  const opsetImport = ['', 'own'].map((domain) => create(OperatorSetIdProtoSchema, { domain, version: domain === '' ? 17n : 1n }))
  const functions = Array.from({ length: levels }, (_, level) =>
    create(FunctionProtoSchema, {
      name: `f${level}`,
      domain: 'own',
      input: ['a'],
      output: ['c'],
      opsetImport,
      node:
        level === levels - 1
          ? [node('Neg', ['a'], ['b']), node('Neg', ['b'], ['c'])]
          : [
              { ...node(`f${level + 1}`, ['a'], ['b']), domain: 'own' },
              { ...node(`f${level + 1}`, ['b'], ['c']), domain: 'own' },
            ],
    }),
  )
  return writeOnnx({ ...model, opsetImport, functions })
}

/** A loop whose number of rounds is an input with a default, a product of constants, the length of x, or the largest number there is. */
export function countsTo(rounds: 'default' | 'product' | 'shape' | 'largest'): Uint8Array {
  const number = rounds === 'largest' ? 2n ** 62n : 10n
  const made = {
    default: [],
    largest: [],
    product: [node('Mul', ['ten', 'ten'], ['n'])],
    shape: [node('Shape', ['x'], ['s']), node('Squeeze', ['s'], ['n'])],
  }[rounds]
  const counted = rounds === 'default' || rounds === 'largest' ? 'ten' : 'n'
  return buildModel({
    input: [value('x', 'FP32', [1]), ...(rounds === 'default' ? [value('ten', 'INT64', [])] : [])],
    output: [value('y', 'FP32', [1])],
    node: [...made, endless('x', 'y', counted)],
    initializer: [integer('ten', number), floats('one', [1], 1), weights('always', 'BOOL', [], Uint8Array.of(1))],
  })
}

/** Pads x by one on each side where it is positive. */
export function padsIfPositive(): Uint8Array {
  return buildModel({
    input: [value('x', 'FP32', [1])],
    output: [value('y', 'FP32', ['n'])],
    node: [
      node('Greater', ['x', 'zero'], ['is_positive']),
      node('Squeeze', ['is_positive'], ['positive']),
      nodeWithGraphs('If', ['positive'], ['y'], {
        then_branch: { output: [value('z', 'FP32', ['n'])], node: [node('Pad', ['x', 'pads'], ['z'])] },
        else_branch: { output: [value('w', 'FP32', ['n'])], node: [node('Identity', ['x'], ['w'])] },
      }),
    ],
    initializer: [floats('zero', [1], 0), weights('pads', 'INT64', [2], BigInt64Array.of(1n, 1n))],
  })
}
