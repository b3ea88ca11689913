import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { READERS } from '../../src/protocol/bodies/readers.ts'
import { WRITERS } from '../../src/protocol/bodies/writers.ts'
import { REQUEST_LIMIT_DEFAULTS } from '../../src/protocol/limits.ts'
import { readPackage } from '../../src/model/package.ts'
import { buildSignature } from '../../src/signature/signature.ts'
import { CUSTOMER, example } from '../fixtures.ts'
import type { BatchForm, BatchRead } from '../../src/protocol/bodies/instances.ts'
import type { Signature } from '../../src/signature/signature.ts'
import type { TensorSpec } from '../../src/tensor/tensor.ts'

const { file, document } = await readPackage({ name: 'churn', version: '1', path: example('churn') })
const churn = buildSignature({ file, document, source: 'slipway.yaml' })

const spec = (name: string, datatype: TensorSpec['datatype'], ...shape: number[]): TensorSpec => ({
  name,
  datatype,
  shape,
  dimensionNames: shape.map(() => undefined),
})

/** A model of tensors alone. */
function tensors(...inputs: readonly TensorSpec[]): Signature {
  return {
    ...churn,
    inputs,
    features: undefined,
    ranges: new Map(),
    answer: { task: 'tensors' },
    hasRows: inputs.every(({ shape }) => shape[0] === -1),
  }
}

const ANY: BatchForm = { keys: ['instances', 'inputs'], beside: ['parameters'] }

function read(body: string | object, signature: Signature, form: BatchForm = ANY, limits = REQUEST_LIMIT_DEFAULTS): Promise<BatchRead> {
  const json = typeof body === 'string' ? body : JSON.stringify(body)
  return READERS.batch({ body: Buffer.from(json), header: undefined, signature, limits, form })
}

/** Shape and values of each input. */
async function told(body: string | object, signature: Signature, form?: BatchForm): Promise<unknown> {
  const { inputs } = await read(body, signature, form)
  return inputs.map(({ shape, data }) => [shape, [...data]])
}

const X = tensors(spec('x', 'FP32', -1, 2))
const AB = tensors(spec('a', 'INT64', -1), spec('b', 'BYTES', -1, 2))

describe('rows and columns of tensors', () => {
  it('are the same tensor as rows, as columns, under their name or alone', async () => {
    const expected = [
      [
        [2, 2],
        [1, 2, 3, 4],
      ],
    ]
    for (const body of [
      {
        instances: [
          [1, 2],
          [3, 4],
        ],
      },
      { instances: [{ x: [1, 2] }, { x: [3, 4] }] },
      {
        inputs: [
          [1, 2],
          [3, 4],
        ],
      },
      {
        inputs: {
          x: [
            [1, 2],
            [3, 4],
          ],
        },
      },
    ])
      assert.deepEqual(await told(body, X), expected, JSON.stringify(body))
  })

  it('of several inputs have every digit of a 64-bit integer, and text as bytes in base64', async () => {
    const body = '{"instances":[{"a":9007199254740993,"b":["u",{"b64":"w7w="}]},{"b":["v","w"],"a":-9223372036854775808}]}'
    assert.deepEqual(await told(body, AB), [
      [[2], [9007199254740993n, -9223372036854775808n]],
      [
        [2, 2],
        ['u', 'ü', 'v', 'w'],
      ],
    ])
    assert.deepEqual(await told('{"inputs":{"b":[["u","v"]],"a":[1]}}', AB), [
      [[1], [1n]],
      [
        [1, 2],
        ['u', 'v'],
      ],
    ])
  })

  it('may be values by themselves where the model takes lists of one', async () => {
    const column = tensors(spec('x', 'FP32', -1, 1))
    const { inputs, bare } = await read({ instances: [1, 2, 5] }, column)
    assert.deepEqual([inputs[0]?.shape, bare], [[3, 1], true])
    assert.equal((await read({ instances: [[1], [2]] }, column)).bare, false)
    assert.deepEqual((await read({ instances: [1, 2] }, tensors(spec('x', 'FP32', -1)))).inputs[0]?.shape, [2])
  })

  it('have NaN and the infinities, and null only where the dialect says so', async () => {
    assert.deepEqual(await told('{"instances":[[NaN,-Infinity]]}', X), [
      [
        [1, 2],
        [Number.NaN, -Infinity],
      ],
    ])
    await assert.rejects(read('{"instances":[[1,null]]}', X), /instances\[0\]: expected a number, found "n"/)
    assert.deepEqual(await told('{"instances":[[1,null]]}', X, { ...ANY, nulls: true }), [
      [
        [1, 2],
        [1, Number.NaN],
      ],
    ])
    const half = tensors(spec('x', 'FP16', -1))
    assert.deepEqual(await told('{"instances":[1,null]}', half, { ...ANY, nulls: true }), [[[2], [0x3c00, 0x7e00]]])
  })

  it('may be none, unless the dialect wants some', async () => {
    assert.deepEqual(await told({ instances: [] }, X), [[[0, 2], []]])
    assert.equal((await read({ instances: [] }, churn)).rows, 0)
    for (const signature of [X, churn])
      await assert.rejects(read({ instances: [] }, signature, { ...ANY, empty: false }), /instances: there are no rows/)
  })

  it('without rows are the tensors themselves', async () => {
    assert.deepEqual(await told({ inputs: 5 }, tensors(spec('x', 'INT32'))), [[[], [5]]])
    assert.deepEqual(await told({ inputs: { b64: 'YQ==' } }, tensors(spec('x', 'BYTES'))), [[[], ['a']]])
    assert.deepEqual(await told({ instances: [1, 2, 3] }, tensors(spec('x', 'INT32', 3))), [[[3], [1, 2, 3]]])
  })

  for (const [what, body, signature, message] of [
    ['another shape than the first', { instances: [[1, 2], [3]] }, X, /instances\[1\]: 1 more value expected/],
    [
      'a longer list than the first',
      {
        instances: [
          [1, 2],
          [3, 4, 5],
        ],
      },
      X,
      /instances\[1\]: more than 2 values/,
    ],
    [
      'a value among lists',
      { instances: [[1, 2], 3] },
      X,
      /instances\[1\]: expected lists as the first are, of shape \[2\]; found a value/,
    ],
    ['a list among values', { instances: [1, [2]] }, X, /instances\[1\]: expected a value as the first is, of shape \[\]; found a list/],
    ['another number of columns', { instances: [[1, 2, 3]] }, X, /inputs\.x: has shape \[1, 3\], expected \[-1, 2\]/],
    ['a text for a number', { instances: [['1', 2]] }, X, /instances\[0\]: expected a number/],
    ['a fraction for an integer', { instances: [{ a: 1.5, b: ['u', 'v'] }] }, AB, /instances\[0\]\.a: expected an integer, found 1\.5/],
    ['an integer that does not fit', '{"instances":[{"a":9223372036854775808,"b":["u","v"]}]}', AB, /9223372036854775808 is outside INT64/],
    ['a name that is no input', { instances: [{ y: [1, 2] }] }, X, /instances\[0\]\.y: the model has no such input; it has x/],
    ['a missing input', { instances: [{ a: 1 }] }, AB, /inputs\.b: missing; expected BYTES \[-1, 2\]/],
    [
      'an input that a later row lacks',
      { instances: [{ a: 1, b: ['u', 'v'] }, { a: 1 }] },
      AB,
      /instances\[1\]: "b" has 1 values for 2 rows/,
    ],
    [
      'an object among lists',
      { instances: [[1, 2], { x: [1, 2] }] },
      X,
      /instances\[1\]: expected a value or a list as before, found an object/,
    ],
    ['a plain list for two inputs', { instances: [[1, 2]] }, AB, /instances\[0\]: expected an object with a, b: the model has 2 inputs/],
    ['columns of several lengths', { inputs: { a: [1, 2], b: [['u', 'v']] } }, AB, /inputs\.b: has 1 rows, "a" has 2/],
    ['bytes that are no text', { instances: [{ a: 1, b: ['u', { b64: '/w==' }] }] }, AB, /instances\[0\]\.b: the bytes are not UTF-8/],
    ['base64 that is none', { instances: [{ a: 1, b: ['u', { b64: '%' }] }] }, AB, /expected a text, or \{"b64": TEXT\}/],
    ['no rows at all', { parameters: {} }, X, /the body has no "instances" or "inputs"/],
    ['rows twice', { instances: [[1, 2]], inputs: [[1, 2]] }, X, /inputs: there is "instances" already/],
    ['an unknown key', { instances: [[1, 2]], instance: 1 }, X, /instance: unknown key; expected "instances" or /],
    ['rows that are no list', { instances: 1 }, X, /instances: expected a list of rows/],
    ['a body that is no object', [1], X, /expected an object with "instances"/],
    ['nothing', '', X, /the body is empty/],
  ] as const)
    it(`refuse ${what}`, async () => {
      await assert.rejects(read(body, signature), message)
    })

  it('have limits of rows, of elements and of nesting', async () => {
    const limits = { rows: 2, elements: 5, jsonNesting: 4 }
    await assert.rejects(
      read(
        {
          instances: [
            [1, 2],
            [1, 2],
            [1, 2],
          ],
        },
        X,
        ANY,
        limits,
      ),
      { code: 'SLW_LIMIT_EXCEEDED', message: /more than 2 rows/ },
    )
    await assert.rejects(
      read(
        {
          inputs: {
            x: [
              [1, 2],
              [1, 2],
              [1, 2],
            ],
          },
        },
        X,
        ANY,
        limits,
      ),
      {
        code: 'SLW_LIMIT_EXCEEDED',
        message: /"x" has more than 5 elements/,
      },
    )
    await assert.rejects(read({ instances: [[[[1]]]] }, X, ANY, limits), { code: 'SLW_LIMIT_EXCEEDED', message: /nested deeper than 4/ })
    await assert.rejects(read({ instances: [CUSTOMER, CUSTOMER, CUSTOMER] }, churn, ANY, limits), { code: 'SLW_LIMIT_EXCEEDED' })
  })
})

describe('rows of a model with features', () => {
  const columns = [2, 95.5, 6, 1, 0, 0, 1, 0, 0, 1]

  it('are objects, lists in the order of the features, columns; or its tensor', async () => {
    const expected = [[[1, 10], [...Float32Array.from(columns)]]]
    for (const body of [
      { instances: [CUSTOMER] },
      { instances: [Object.values(CUSTOMER)] },
      { instances: [columns] },
      { instances: [{ customers: columns }] },
      { inputs: [CUSTOMER] },
      { inputs: { customers: [columns] } },
      { inputs: Object.fromEntries(Object.entries(CUSTOMER).map(([name, value]) => [name, [value]])) },
    ])
      assert.deepEqual(await told(body, churn), expected, JSON.stringify(body))
  })

  it('take what they share from the context', async () => {
    const { plan, ...rest } = CUSTOMER
    const form: BatchForm = { keys: ['examples'], beside: ['context'] }
    const { inputs } = await read({ examples: [rest], context: { plan } }, churn, form)
    assert.deepEqual([...inputs[0]!.data], [...Float32Array.from(columns)])
    await assert.rejects(read({ context: { plan }, examples: [CUSTOMER] }, churn, form), /examples\[0\]\.plan: is in the context, too/)
    await assert.rejects(read({ context: [], examples: [CUSTOMER] }, churn, form), /context: expected an object/)
  })

  it('are refused with every issue and its place', async () => {
    await assert.rejects(read({ instances: [CUSTOMER, { ...CUSTOMER, plan: 'gold', contract: undefined }] }, churn), (error: Error) => {
      assert.match(error.message, /instances\[1\]\.plan: "gold" is not one of/)
      assert.match(error.message, /instances\[1\]\.contract: missing/)
      return true
    })
    await assert.rejects(read({ inputs: { plan: ['basic'], contract: [] } }, churn), /inputs\.contract: has 0 rows, "plan" has 1/)
  })
})

it('predictions are what was predicted, without what people are told beside it', () => {
  const outputs = [{ name: 'y', datatype: 'FP32' as const, shape: [2, 2], data: Float32Array.of(1, 2, Number.NaN, 4) }]
  const answer = { signature: X, outputs, asked: [], rows: 2 }
  assert.equal(WRITERS.predictions(answer).body, '{"predictions":[[1,2],[null,4]]}')
  const fixed = tensors(spec('x', 'FP32', 1, 2))
  assert.equal(WRITERS.predictions({ ...answer, signature: fixed, rows: 1 }).body, '{"predictions":[[1,2],[null,4]]}')
})
