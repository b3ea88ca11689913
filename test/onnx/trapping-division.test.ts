import assert from 'node:assert/strict'
import { create } from '@bufbuild/protobuf'
import { describe, it } from 'node:test'
import { FunctionProtoSchema, OperatorSetIdProtoSchema } from '../../src/onnx/generated/onnx_pb.js'
import { parseOnnx } from '../../src/onnx/model.ts'
import { openEnded } from '../../src/onnx/open-ended.ts'
import { nodeWithGraphs } from '../attacks/hostile-graphs.ts'
import { buildModel, floats, node, value, weights } from './build-model.ts'
import type { ModelInit } from './build-model.ts'

/** Integers a and b, and numbers x. */
const INPUT = [value('a', 'INT64', ['n']), value('b', 'INT32', ['n']), value('x', 'FP32', ['n'])]
const OUTPUT = [value('y', 'INT64', ['n'])]
const integers = (name: string, ...numbers: bigint[]) => weights(name, 'INT64', [numbers.length], BigInt64Array.from(numbers))

function trapOf(init: Partial<ModelInit>): string | undefined {
  return openEnded(parseOnnx(buildModel({ input: INPUT, output: OUTPUT, node: [], ...init }), 'made')).trap
}

describe('a division that can end the process', () => {
  const TRAPS: Record<string, Partial<ModelInit>> = {
    'of what a request gives by what it gives': { node: [node('Div', ['a', 'a'], ['y'])] },
    'of shorter integers': { node: [node('Div', ['b', 'b'], ['y'])] },
    'that asks for the rest': { node: [node('Mod', ['a', 'a'], ['y'])] },
    'by -1': { node: [node('Div', ['a', 'm'], ['y'])], initializer: [integers('m', 2n, -1n)] },
    'by a constant of its own': { node: [node('Constant', [], ['m'], { value_int: -1n }), node('Div', ['a', 'm'], ['y'])] },
    'of numbers that were made integers': { node: [node('Cast', ['x'], ['i'], { to: 7n }), node('Div', ['i', 'i'], ['y'])] },
    'of a constant': { node: [node('Div', ['m', 'a'], ['y'])], initializer: [integers('m', 5n)] },
    'some operators on': {
      node: [node('Add', ['a', 'a'], ['s']), node('Where', ['c', 's', 'a'], ['w']), node('Div', ['w', 'w'], ['y'])],
      initializer: [weights('c', 'BOOL', [1], Uint8Array.of(1))],
    },
    'by positions': { node: [node('ArgMax', ['x'], ['p']), node('Neg', ['p'], ['q']), node('Div', ['a', 'q'], ['y'])] },
    'of a sequence that began empty': {
      node: [
        node('SequenceEmpty', [], ['q'], { dtype: 7n }),
        node('SequenceInsert', ['q', 'a'], ['r']),
        node('SequenceAt', ['r', 'z'], ['v']),
        node('Div', ['v', 'v'], ['y']),
      ],
      initializer: [integers('z', 0n)],
    },
    'of a hash': { node: [{ ...node('MurmurHash3', ['x'], ['h']), domain: 'com.microsoft' }, node('Div', ['h', 'h'], ['y'])] },
    'in a branch': {
      node: [
        nodeWithGraphs('If', ['c'], ['y'], {
          then_branch: { output: [value('z', 'INT64', ['n'])], node: [node('Div', ['a', 'a'], ['z'])] },
          else_branch: { output: [value('w', 'INT64', ['n'])], node: [node('Identity', ['a'], ['w'])] },
        }),
      ],
      initializer: [weights('c', 'BOOL', [], Uint8Array.of(1))],
    },
  }
  for (const [what, init] of Object.entries(TRAPS))
    it(`${what} is found`, () => assert.match(trapOf(init) ?? 'not found', /(Div|Mod) divides integers/))

  const FINE: Record<string, Partial<ModelInit>> = {
    'of floats': { node: [node('Div', ['x', 'x'], ['y'])] },
    'by another number': { node: [node('Div', ['a', 'm'], ['y'])], initializer: [integers('m', 2n, 0n, 255n)] },
    'of integers that were made floats': { node: [node('Cast', ['a'], ['i'], { to: 1n }), node('Div', ['i', 'i'], ['y'])] },
    'of the rest of floats': { node: [node('Mod', ['x', 'x'], ['y'], { fmod: 1n })] },
    'of sizes': { node: [node('Shape', ['a'], ['s']), node('Div', ['s', 's'], ['y'])] },
    'of what was looked up by integers': {
      node: [node('Gather', ['t', 'a'], ['g']), node('Div', ['g', 'g'], ['y'])],
      initializer: [floats('t', [2], 1, 2)],
    },
    'of a position': { node: [node('ArgMax', ['x'], ['p']), node('Squeeze', ['p'], ['q']), node('Div', ['q', 'a'], ['y'])] },
    'by a constant that was given another shape': {
      node: [node('Unsqueeze', ['m', 'z'], ['n']), node('Div', ['a', 'n'], ['y'])],
      initializer: [integers('m', 5n), integers('z', 0n)],
    },
    'of the floats of a branch that gives integers, too': {
      node: [
        nodeWithGraphs('If', ['c'], ['i', 'f'], {
          then_branch: {
            output: [value('j', 'INT64', ['n']), value('g', 'FP32', ['n'])],
            node: [node('Identity', ['a'], ['j']), node('Identity', ['x'], ['g'])],
          },
          else_branch: {
            output: [value('k', 'INT64', ['n']), value('h', 'FP32', ['n'])],
            node: [node('Identity', ['a'], ['k']), node('Identity', ['x'], ['h'])],
          },
        }),
        node('Div', ['f', 'f'], ['y']),
      ],
      initializer: [weights('c', 'BOOL', [], Uint8Array.of(1))],
    },
    'of what a tree says': {
      node: [{ ...node('TreeEnsembleRegressor', ['a'], ['g']), domain: 'ai.onnx.ml' }, node('Div', ['g', 'g'], ['y'])],
    },
  }
  for (const [what, init] of Object.entries(FINE)) it(`${what} is none`, () => assert.equal(trapOf(init), undefined))

  it('in a function is one where integers go in', () => {
    const model = (of: string) => {
      const parsed = parseOnnx(
        buildModel({ input: INPUT, output: OUTPUT, node: [{ ...node('Half', [of], ['y']), domain: 'own' }] }),
        'made',
      )
      parsed.functions.push(
        create(FunctionProtoSchema, {
          name: 'Half',
          domain: 'own',
          input: ['in'],
          output: ['out'],
          opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: 17n })],
          node: [node('Div', ['in', 'in'], ['out'])],
        }),
      )
      return openEnded(parsed).trap
    }
    assert.match(model('a')!, /Div divides integers/)
    assert.equal(model('x'), undefined)
  })
})
