import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeRows } from '../../src/signature/encode.ts'
import { sampleOf } from '../../src/signature/example.ts'
import { fp32, refused, shown, signatureOf, spec } from './signature-of.ts'
import type { FeatureSpec } from '../../src/contract/model-package.ts'
import type { Signature } from '../../src/signature/signature.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

const encode = (signature: Signature, ...rows: unknown[]): readonly Tensor[] => encodeRows(signature, rows, 'inputs').inputs

const PLANS = ['basic', 'plus', 'pro']
const customer = signatureOf(
  { inputs: [spec('x', 'FP32', [-1, 6])] },
  {
    features: [
      { name: 'age', type: 'integer', minimum: 0, maximum: 120, unit: 'years' },
      { name: 'plan', type: 'category', categories: PLANS },
      { name: 'income', type: 'number', default: null, nan: 'off' },
      { name: 'active', type: 'boolean', default: true },
    ],
  },
)

const featured = (features: FeatureSpec[], ...inputs: Parameters<typeof signatureOf>[0]['inputs']): Signature =>
  signatureOf({ inputs: inputs.length > 0 ? inputs : [spec('x', 'FP32', [-1, -1])] }, { features })

describe('rows of named features', () => {
  it('become columns in the order of the features: numbers, one column for each category, defaults for what is absent', () => {
    assert.deepEqual(
      shown(encode(customer, { plan: 'plus', age: 40, income: 1.5, active: false }, { age: 7, plan: 'basic' })),
      shown([fp32('x', [2, 6], 40, 0, 1, 0, 1.5, 0, 7, 1, 0, 0, Number.NaN, 1)]),
    )
  })

  it('may be lists in the order of the features', () => {
    assert.deepEqual(shown(encode(customer, [40, 'pro', 2, 'true'])), shown([fp32('x', [1, 6], 40, 0, 0, 1, 2, 1)]))
    assert.throws(
      () => encode(customer, [1, 'pro', 2, true], [1, 2]),
      refused('SLW_INPUT_INVALID', { 'inputs[1]': 'expected 4 values \\(age, plan, income, active\\), found 2' }),
    )
  })

  it('every issue of every row is told at once, with its path, and nothing is encoded', () => {
    const rows = [
      { age: 40, plan: 'basic' },
      { age: 130, plan: 'gold', income: 'much', active: 2 },
      { agee: 1, plan: null, age: 1.5 },
      'text',
      { plan: 'pro', age: null },
    ]
    assert.throws(
      () => encode(customer, ...rows),
      refused('SLW_INPUT_INVALID', {
        'inputs[1].age': /^130 is outside 0 to 120 years$/,
        'inputs[1].plan': /^"gold" is not one of "basic", "plus", "pro"$/,
        'inputs[1].income': /^expected a number, found "much"$/,
        'inputs[1].active': /^expected true or false, found 2$/,
        'inputs[2].agee': /^the model has no such feature; did you mean "age"\?$/,
        'inputs[2].age': /^expected an integer, found 1\.5$/,
        'inputs[2].plan': /^null is not one of/,
        'inputs[3]': /^expected an object with age, plan, income, active; found "text"$/,
        'inputs[4].age': /^expected a finite number, found null$/,
      }),
    )
    assert.throws(
      () => encode(customer, {}),
      refused('SLW_INPUT_INVALID', {
        'inputs[0].age': '^missing; expected an integer',
        'inputs[0].plan': '^missing; expected one of "basic", "plus", "pro"',
      }),
    )
  })

  it('a category becomes columns, an index or text; categories that are no text are found however they are written', () => {
    const categories = [1, 2, true]
    const spec1 = (encodeAs?: 'onehot' | 'index'): FeatureSpec => ({
      name: 'c',
      type: 'category',
      categories,
      ...(encodeAs && { encode: encodeAs }),
    })
    assert.deepEqual([...(encode(featured([spec1()]), { c: '2' })[0]!.data as Float32Array)], [0, 1, 0])
    assert.deepEqual([...(encode(featured([spec1('index')]), { c: true })[0]!.data as Float32Array)], [2])
    const text = featured(
      [
        { name: 'c', type: 'category', categories: PLANS },
        { name: 's', type: 'string' },
      ],
      spec('t', 'BYTES', [-1, 2]),
    )
    assert.deepEqual(shown(encode(text, { c: 'pro', s: 'ü' })), [{ name: 't', datatype: 'BYTES', shape: [1, 2], values: ['pro', 'ü'] }])
    assert.throws(
      () => encode(text, { c: 'gold', s: 1 }),
      refused('SLW_INPUT_INVALID', { 'inputs[0].c': 'is not one of', 'inputs[0].s': 'expected a text' }),
    )
  })

  it('a feature may be a list, of numbers or of categories', () => {
    const lists = featured([
      { name: 'v', type: 'number', length: 2 },
      { name: 'c', type: 'category', categories: ['a', 'b'], length: 2 },
    ])
    assert.deepEqual([...(encode(lists, { v: [1, 2], c: ['b', 'a'] })[0]!.data as Float32Array)], [1, 2, 0, 1, 1, 0])
    assert.throws(
      () => encode(lists, { v: [1], c: ['b', 'x'] }),
      refused('SLW_INPUT_INVALID', {
        'inputs[0].v': 'expected a list of 2 values, found \\[1\\]',
        'inputs[0].c[1]': '"x" is not one of "a", "b"',
      }),
    )
  })

  it('features go to the inputs of their names, each in its datatype', () => {
    const signature = featured(
      [
        { name: 'n', type: 'integer' },
        { name: 't', type: 'string' },
        { name: 'w', type: 'number', input: 'n' },
      ],
      spec('n', 'INT64', [-1, 2]),
      spec('t', 'BYTES', [-1, 1]),
    )
    assert.deepEqual(shown(encode(signature, { n: 2n ** 60n, t: 'a', w: 3 })), [
      { name: 'n', datatype: 'INT64', shape: [1, 2], values: [2n ** 60n, 3] },
      { name: 't', datatype: 'BYTES', shape: [1, 1], values: ['a'] },
    ])
    assert.throws(
      () => encode(signature, { n: 2n ** 63n, t: 'a', w: 0.5 }),
      refused('SLW_INPUT_INVALID', {
        'inputs[0].n': '9223372036854775808 is outside INT64',
        'inputs[0].w': 'expected an integer, found 0.5',
      }),
    )
  })

  it('NaN and null are refused, warned of or let through, as the feature or else the server says', () => {
    const policy = (nan: FeatureSpec['nan'], nanPolicy?: 'reject' | 'warn' | 'off'): Signature =>
      signatureOf(
        { inputs: [spec('x', 'FP32', [-1, 1])], ...(nanPolicy && { nanPolicy }) },
        { features: [{ name: 'a', type: 'number', ...(nan && { nan }) }] },
      )
    for (const given of [null, Number.NaN, Infinity]) {
      for (const signature of [policy(undefined), policy('reject', 'off')])
        assert.throws(() => encode(signature, { a: given }), refused('SLW_INPUT_INVALID', { 'inputs[0].a': 'expected a finite number' }))
      const stored = given ?? Number.NaN
      assert.deepEqual([...(encode(policy('off'), { a: given })[0]!.data as Float32Array)], [stored])
      assert.deepEqual(encodeRows(policy('warn'), [{ a: given }], 'inputs').warnings, [`inputs[0].a: ${stored}`])
      assert.deepEqual(encodeRows(policy(undefined, 'warn'), [{ a: given }], 'inputs').warnings, [`inputs[0].a: ${stored}`])
      assert.deepEqual(encodeRows(policy(undefined, 'off'), [{ a: given }], 'inputs').warnings, [])
    }
  })

  it('the number of listed issues is bounded', () => {
    assert.throws(
      () => encode(customer, ...Array.from({ length: 5000 }, () => 1)),
      (error: Error & { issues?: unknown[] }) => error.issues?.length === 100 && error.message.length < 1000,
    )
  })
})

describe('rows where no features are declared', () => {
  const two = signatureOf({ inputs: [spec('a', 'FP32', [-1, 2]), spec('b', 'INT64', [-1])] })

  it('are objects of one value for each input', () => {
    assert.deepEqual(shown(encode(two, { a: [1, 2], b: 3 }, { b: 4, a: [5, 6] })), [
      { name: 'a', datatype: 'FP32', shape: [2, 2], values: [1, 2, 5, 6] },
      { name: 'b', datatype: 'INT64', shape: [2], values: [3, 4] },
    ])
  })

  it('are the bare value where there is one input', () => {
    assert.deepEqual(
      shown(encode(signatureOf({ inputs: [spec('x', 'FP32', [-1, 2, 1])] }), [[1], [2]], [[3], [4]])),
      shown([fp32('x', [2, 2, 1], 1, 2, 3, 4)]),
    )
    assert.deepEqual(
      shown(encode(signatureOf({ inputs: [spec('x', 'FP32', [-1, 1])] }), 1, [2], { x: 3 })),
      shown([fp32('x', [3, 1], 1, 2, 3)]),
    )
    assert.deepEqual(encode(signatureOf({ inputs: [spec('x', 'BOOL', [-1])] }), true, 0)[0]!.data, Uint8Array.of(1, 0))
  })

  it('what does not fit is told for each row and input', () => {
    assert.throws(
      () => encode(two, { a: [1, 2, 3], b: 1 }, { a: [1, 'x'], b: 1.5 }, { a: [[1], [2]], b: 1 }),
      refused('SLW_INPUT_INVALID', {
        'inputs[0].a': 'expected an array of FP32 \\[2\\], found shape \\[3\\]',
        'inputs[2].a': 'expected an array of FP32 \\[2\\], found shape \\[2, 1\\]',
        'inputs[1].b': 'expected an integer, found 1.5',
      }),
    )
    assert.throws(
      () => encode(two, { a: [1, 'x'], b: 1.5 }),
      refused('SLW_INPUT_INVALID', {
        'inputs[0].a': 'expected a number \\(FP32\\), found "x"',
        'inputs[0].b': 'expected an integer, found 1.5',
      }),
    )
    assert.throws(
      () => encode(two, { a: [1, 2], c: 1 }),
      refused('SLW_INPUT_INVALID', {
        'inputs[0].b': '^missing; expected a value \\(INT64\\)',
        'inputs[0].c': 'no such input; did you mean "a"',
      }),
    )
    const ragged = signatureOf({ inputs: [spec('x', 'FP32', [-1, -1, 2])] })
    assert.throws(() => encode(ragged, [[1, 2], [3]]), refused('SLW_INPUT_INVALID', { 'inputs[0]': 'different lengths' }))
    assert.throws(
      () =>
        encode(
          ragged,
          [[1, 2]],
          [
            [1, 2],
            [3, 4],
          ],
        ),
      refused('SLW_INPUT_INVALID', { 'inputs[1]': 'rows of one request have one shape' }),
    )
  })

  it('a model without rows takes one set of inputs', () => {
    const fixed = signatureOf({ inputs: [spec('x', 'FP32', [2, 2])] })
    assert.deepEqual(
      shown(
        encode(fixed, [
          [1, 2],
          [3, 4],
        ]),
      ),
      shown([fp32('x', [2, 2], 1, 2, 3, 4)]),
    )
    assert.throws(
      () =>
        encode(
          fixed,
          [
            [1, 2],
            [3, 4],
          ],
          [
            [1, 2],
            [3, 4],
          ],
        ),
      refused('SLW_INPUT_INVALID', { inputs: 'takes one set of inputs at a time, found 2' }),
    )
  })

  it('an input with a default may be left out', () => {
    const signature = signatureOf({ inputs: [spec('x', 'FP32', [1]), spec('k', 'FP32', [1])], defaults: [fp32('k', [1], 7)] })
    assert.deepEqual(shown(encode(signature, { x: 1 })), shown([fp32('x', [1], 1), fp32('k', [1], 7)]))
    assert.deepEqual(shown(encode(signature, { x: 1, k: 2 })), shown([fp32('x', [1], 1), fp32('k', [1], 2)]))
  })

  it('ranges of inputs and the NaN policy hold for people as they do for tensors', () => {
    const ranged = signatureOf({ inputs: [spec('x', 'INT64', [-1, 2])] }, { inputs: [{ name: 'x', minimum: 0, maximum: 9 }] })
    assert.throws(() => encode(ranged, [1, 2], [3, 10]), refused('SLW_INPUT_INVALID', /10 is outside 0 to 9/))
    const strict = signatureOf({ inputs: [spec('x', 'FP32', [-1, 2])], nanPolicy: 'reject' })
    assert.throws(() => encode(strict, [1, null]), refused('SLW_INPUT_INVALID', /expected a finite number/))
  })

  it('what a person may send is text without NUL characters, and no key of an object means more than data', () => {
    const text = signatureOf({ inputs: [spec('t', 'BYTES', [-1])] })
    assert.throws(() => encode(text, 'a\0b'), refused('SLW_INPUT_INVALID', { 'inputs[0]': 'NUL' }))
    assert.throws(
      () => encode(customer, JSON.parse('{"age": 1, "plan": "pro", "__proto__": {"active": false}}')),
      refused('SLW_INPUT_INVALID', { 'inputs[0].__proto__': 'no such feature' }),
    )
  })
})

describe('samples for the probe', () => {
  it('are the examples of the package over and over, rows made from its features, or generated', () => {
    const examples = [
      { age: 1, plan: 'basic' },
      { age: 2, plan: 'pro' },
    ]
    const given = sampleOf({ ...customer, examples })
    assert.equal(given.trusted, true)
    assert.deepEqual(
      [...(given.rows(3)[0]!.data as Float32Array)].filter((_, index) => index % 6 === 0),
      [1, 2, 1],
    )
    const made = sampleOf(customer)
    assert.deepEqual([made.trusted, made.rows(4)[0]!.shape], [false, [4, 6]])
    const generated = sampleOf(signatureOf({ inputs: [spec('a', 'FP32', [-1, 2])] }))
    assert.deepEqual([generated.trusted, generated.rows(4)[0]!.shape], [false, [4, 2]])
    for (const sample of [given, made, generated])
      assert.notEqual((sample.rows(2)[0]!.data as Float32Array).buffer, (sample.rows(2)[0]!.data as Float32Array).buffer)
  })
})
