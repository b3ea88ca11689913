import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { answerOutputs, decodeAnswers } from '../../src/signature/answer.ts'
import { fp32, refused, signatureOf, spec } from './signature-of.ts'
import type { AnswerSpec } from '../../src/contract/model-package.ts'
import type { Answer } from '../../src/signature/answer.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import type { ModelFacts } from './signature-of.ts'

const x = spec('x', 'FP32', [-1, 2])

/** The answers that these outputs stand for; the outputs that answers are made of are those that are asked for. */
function answers(
  answer: AnswerSpec | undefined,
  outputs: readonly Tensor[],
  more: Partial<ModelFacts> & { inputs?: ModelFacts['inputs']; asked?: readonly Tensor[] } = {},
): Answer[] {
  const { asked = [], ...facts } = more
  const specs = outputs.map(({ datatype, name, shape }) => spec(name, datatype, [-1, ...shape.slice(1)]))
  const signature = signatureOf({ inputs: [x], outputs: specs, ...facts }, answer === undefined ? {} : { answer })
  const names = answerOutputs(signature)
  return decodeAnswers(
    signature,
    names.map((name) => outputs.find((output) => output.name === name)!),
    asked,
    outputs[0]!.shape[0]!,
  )
}

const scores = fp32('p', [2, 3], 0.25, 0.5, 0.25, 0.75, 0.125, 0.125)

describe('answers of a classifier', () => {
  it('are the likeliest label, its confidence, and all probabilities', () => {
    assert.deepEqual(answers({ labels: ['a', 'b', 'c'] }, [scores]), [
      { prediction: 'b', confidence: 0.5, probabilities: { a: 0.25, b: 0.5, c: 0.25 } },
      { prediction: 'a', confidence: 0.75, probabilities: { a: 0.75, b: 0.125, c: 0.125 } },
    ])
  })

  it('use the labels of the file, the package first; without any, classes are numbered', () => {
    const predictions = (found: Answer[]): unknown[] => found.map(({ prediction }) => prediction)
    assert.deepEqual(predictions(answers(undefined, [scores], { classLabels: [7, 8, 9] })), [8, 7])
    assert.deepEqual(predictions(answers(undefined, [scores], { zipped: { p: ['u', 'v', 'w'] }, classLabels: [7, 8, 9] })), ['v', 'u'])
    assert.deepEqual(predictions(answers({ labels: ['a', 'b', 'c'] }, [scores], { zipped: { p: ['u', 'v', 'w'] } })), ['b', 'a'])
    assert.deepEqual(predictions(answers({ task: 'classification' }, [scores])), [1, 0])
    assert.deepEqual(predictions(answers({ labels: ['too', 'few'] }, [scores])), [1, 0])
  })

  it('one column is the probability of the second of two classes', () => {
    assert.deepEqual(answers({ labels: ['no', 'yes'] }, [fp32('p', [2, 1], 0.25, 0.75)]), [
      { prediction: 'no', confidence: 0.75, probabilities: { no: 0.75, yes: 0.25 } },
      { prediction: 'yes', confidence: 0.75, probabilities: { no: 0.25, yes: 0.75 } },
    ])
    const [sigmoid] = answers({ labels: ['no', 'yes'], activation: 'sigmoid' }, [fp32('p', [1, 1], Math.log(3))])
    assert.deepEqual(sigmoid, { prediction: 'yes', confidence: 0.75, probabilities: { no: 0.25, yes: 0.75 } })
  })

  it('raw scores become probabilities by softmax, however large they are', () => {
    assert.deepEqual(answers({ labels: ['a', 'b'], activation: 'softmax' }, [fp32('p', [2, 2], 1000, 1000, -1e30, 1e30)]), [
      { prediction: 'a', confidence: 0.5, probabilities: { a: 0.5, b: 0.5 } },
      { prediction: 'b', confidence: 1, probabilities: { a: 0, b: 1 } },
    ])
  })

  it('a threshold decides between two classes, also against the label of the model', () => {
    const label: Tensor = { name: 'l', datatype: 'INT64', shape: [2], data: BigInt64Array.of(1n, 0n) }
    const two = fp32('p', [2, 2], 0.4, 0.6, 0.1, 0.9)
    const given = answers({ labels: ['no', 'yes'], threshold: 0.8 }, [two, label])
    assert.deepEqual(
      given.map(({ confidence, prediction }) => [prediction, confidence]),
      [
        ['no', 0.4],
        ['yes', 0.9],
      ],
    )
  })

  it('the label that the model chose counts, by its name or its number', () => {
    const two = fp32('p', [2, 2], 0.4, 0.6, 0.4, 0.6)
    const numbers: Tensor = { name: 'l', datatype: 'INT64', shape: [2], data: BigInt64Array.of(0n, 1n) }
    assert.deepEqual(
      answers({ labels: ['no', 'yes'] }, [numbers, two]).map(({ confidence, prediction }) => [prediction, confidence]),
      [
        ['no', 0.4],
        ['yes', 0.6],
      ],
    )
    const texts: Tensor = { name: 'l', datatype: 'BYTES', shape: [2], data: ['yes', 'no'] }
    assert.deepEqual(
      answers({ labels: ['no', 'yes'] }, [texts, two]).map(({ prediction }) => prediction),
      ['yes', 'no'],
    )
    assert.deepEqual(answers({ task: 'classification' }, [texts]), [{ prediction: 'yes' }, { prediction: 'no' }])
    assert.deepEqual(answers({ labels: ['no', 'yes'] }, [numbers]), [{ prediction: 'no' }, { prediction: 'yes' }])
  })

  it('topK keeps its order where labels look like integers, which an object does not', () => {
    const [answer] = answers({ labels: [3, 8, '1'], topK: 2 }, [scores])
    const { top } = JSON.parse(JSON.stringify(answer)) as { top: { label: unknown; probability: number }[] }
    assert.deepEqual(
      top.map(({ label }) => label),
      [8, top[1]!.label],
    )
    assert.ok(top[0]!.probability >= top[1]!.probability)
    assert.equal(answers({ labels: ['a', 'b', 'c'] }, [scores])[0]!['top'], undefined, 'all classes are listed as they are')
  })

  it('topK lists that many of the likeliest classes', () => {
    assert.deepEqual(
      answers({ labels: ['a', 'b', 'c'], topK: 2 }, [scores]).map(({ probabilities }) => probabilities),
      [
        { b: 0.5, a: 0.25 },
        { a: 0.75, b: 0.125 },
      ],
    )
    assert.deepEqual(Object.keys(answers({ labels: ['a', 'b', 'c'], topK: 1 }, [scores])[0]!['probabilities'] as object), ['b'])
  })
})

describe('answers of other models', () => {
  it('one number a row is a regression', () => {
    assert.deepEqual(answers(undefined, [fp32('y', [2, 1], 1.5, -2)]), [{ prediction: 1.5 }, { prediction: -2 }])
    assert.deepEqual(answers({ value: 'y' }, [fp32('z', [1, 2], 1, 2), fp32('y', [1, 2], 3, 4)]), [{ prediction: [3, 4] }])
  })

  it('several outputs are an object of nested lists', () => {
    const outputs: Tensor[] = [
      fp32('a', [2, 2, 1], 1, 2, 3, 4),
      { name: 'b', datatype: 'BYTES', shape: [2], data: ['u', 'v'] },
      { name: 'c', datatype: 'BOOL', shape: [2, 2], data: Uint8Array.of(1, 0, 0, 1) },
    ]
    assert.deepEqual(answers(undefined, outputs), [
      { prediction: { a: [[1], [2]], b: 'u', c: [true, false] } },
      { prediction: { a: [[3], [4]], b: 'v', c: [false, true] } },
    ])
  })

  it('a model without rows answers with whole tensors', () => {
    const signature = signatureOf({ inputs: [spec('x', 'FP32', [2, 2])], outputs: [spec('y', 'FP32', [2, 2])] })
    assert.deepEqual(decodeAnswers(signature, [fp32('y', [2, 2], 1, 2, 3, 4)], [], 1), [
      {
        prediction: [
          [1, 2],
          [3, 4],
        ],
      },
    ])
  })

  it('a ranking lists the best items first, equal ones in their order, by label, number or the ids that were asked about', () => {
    const ranks = fp32('s', [2, 3], 0.5, 0.75, 0.5, 3, 1, 2)
    const items = (found: Answer[]): unknown[] => found.map(({ prediction }) => (prediction as { item: unknown }[]).map(({ item }) => item))
    assert.deepEqual(answers({ scores: 's', topK: 2 }, [ranks]), [
      {
        prediction: [
          { item: 1, score: 0.75 },
          { item: 0, score: 0.5 },
        ],
      },
      {
        prediction: [
          { item: 0, score: 3 },
          { item: 2, score: 2 },
        ],
      },
    ])
    assert.deepEqual(items(answers({ task: 'ranking', labels: ['a', 'b', 'c'] }, [ranks])), [
      ['b', 'a', 'c'],
      ['a', 'c', 'b'],
    ])
    const ids: Tensor = { name: 'ids', datatype: 'INT64', shape: [2, 3], data: BigInt64Array.of(10n, 11n, 12n, 20n, 21n, 22n) }
    assert.deepEqual(items(answers({ scores: 's', items: 'ids' }, [ranks], { inputs: [x, spec('ids', 'INT64', [-1, 3])], asked: [ids] })), [
      [11, 10, 12],
      [20, 22, 21],
    ])
    const many = fp32('s', [1, 30], ...Array.from({ length: 30 }, (_, index) => index))
    assert.equal((answers({ scores: 's' }, [many])[0]!['prediction'] as unknown[]).length, 10)
  })

  it('no rows are no answers', () => {
    for (const answer of [{ labels: ['a', 'b', 'c'] }, { value: 'p' }, { scores: 'p' }, { task: 'tensors' }] as AnswerSpec[])
      assert.deepEqual(answers(answer, [fp32('p', [0, 3])]), [])
  })
})

describe('a package that contradicts its model', () => {
  it('is refused with what the model has', () => {
    const inputs = [spec('x', 'FP32', [-1, 2])]
    const cases: [Parameters<typeof signatureOf>[1], RegExp][] = [
      [{ answer: { probabilities: 'q' } }, /m: answer: the model has no output "q"; it has y/],
      [{ answer: { scores: 'y', items: 'ids' } }, /answer: items: the model has no input "ids"/],
      [{ inputs: [{ name: 'z' }] }, /inputs: the model has no input "z"; it has x/],
      [{ inputs: [{ name: 'x', shape: [-1, 3] }] }, /shape \[-1, 3\] of "x" does not fit the file, which says \[-1, 2\]/],
      [{ features: [{ name: 'a', type: 'number' }] }, /features fill 1 columns of input "x", which has 2/],
      [{ features: [{ name: 'a', type: 'number', input: 'z' }] }, /"a" has no input to go to; the model has x/],
      [{ features: [{ name: 'a', type: 'string' }] }, /"a" is a string, but its input takes numbers/],
      [{ features: [{ name: 'a', type: 'category' }] }, /category "a" lists no categories/],
      [{ features: [{ name: 'a', type: 'category', categories: ['u'], encode: 'text' }] }, /encoded as text, but its input takes numbers/],
      [{ image: { input: 'z', width: 1, height: 1 } }, /image: .*"z"/],
    ]
    for (const [document, message] of cases)
      assert.throws(() => signatureOf({ inputs }, document), refused('SLW_PACKAGE_INVALID', message), JSON.stringify(document))
    assert.throws(
      () => signatureOf({ inputs: [...inputs, spec('z', 'FP32', [-1])] }, { image: { width: 1, height: 1 } }),
      refused('SLW_PACKAGE_INVALID', /image: the model has 2 inputs \(x, z\); say which/),
    )
  })

  it('may name and narrow the free dimensions of an input', () => {
    const { inputs } = signatureOf({ inputs: [spec('x', 'FP32', [-1, -1])] }, { inputs: [{ name: 'x', shape: ['batch', 3] }] })
    assert.deepEqual(inputs, [{ name: 'x', datatype: 'FP32', shape: [-1, 3], dimensionNames: ['batch', undefined] }])
  })
})
