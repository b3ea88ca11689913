/** What a package says of its answers is held against what the model gives, when it is loaded. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { serveInChild } from '../child-server.ts'
import { slipway } from '../cli/slipway.ts'
import { buildModel, node, value, weights } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Run } from '../cli/slipway.ts'

interface Made {
  readonly classes: number
  readonly activation?: 'Softmax' | 'Sigmoid'
  /** Dimension 0 of input and output. Default: free. */
  readonly rows?: number
  /** Whether the file says how many columns there are. Default: yes. */
  readonly known?: boolean
}

/** Scores x * (-3, 2, ...) of so many classes, with or without what makes probabilities of them. */
function classifier({ classes, activation, rows, known = true }: Made): Uint8Array {
  const row = rows ?? 'batch'
  const scores = activation === undefined ? 'p' : 'raw'
  return buildModel({
    input: [value('x', 'FP32', [row, 1])],
    output: [value('p', 'FP32', [row, known ? classes : 'classes'])],
    node: [node('Gemm', ['x', 'w', 'b'], [scores]), ...(activation === undefined ? [] : [node(activation, ['raw'], ['p'])])],
    initializer: [
      weights(
        'w',
        'FP32',
        [1, classes],
        Float32Array.from({ length: classes }, (_, index) => index * 5 - 3),
      ),
      weights(
        'b',
        'FP32',
        [classes],
        Float32Array.from({ length: classes }, (_, index) => (index % 2 === 0 ? -2 : 3)),
      ),
    ],
  })
}

/** What `slipway predict` says of one row. */
async function answerOf(model: Made, document?: string): Promise<Run> {
  await using folder = await temporaryFolder()
  await folder.write('m/model.onnx', classifier(model))
  if (document !== undefined) await folder.write('m/slipway.yaml', document)
  return await slipway(['predict', join(folder.path, 'm')], model.rows === undefined ? '[1]' : '{"x": [[1]]}')
}

async function refusedWith(model: Made, document: string, message: RegExp): Promise<void> {
  const { code, stderr } = await answerOf(model, document)
  assert.equal(code, 10, stderr)
  assert.match(stderr, message)
}

describe('at load', () => {
  it('labels that are not as many as the classes are refused, wherever the number of classes stands', async () => {
    const three = 'answer: { labels: [a, b] }'
    for (const known of [true, false])
      await refusedWith(
        { classes: 3, activation: 'Softmax', known },
        three,
        /answer: labels: there are 2, and output "p" has 3 columns: write one label for each class, in the order of the columns/,
      )
    await refusedWith({ classes: 3, activation: 'Softmax', rows: 1 }, three, /output "p" has 3 columns/)
    await refusedWith(
      { classes: 1, activation: 'Sigmoid' },
      'answer: { labels: [a, b, c] }',
      /has 1 column, which is the probability of the second of two/,
    )
    for (const [model, labels] of [
      [{ classes: 3, activation: 'Softmax' }, '[a, b, c]'],
      [{ classes: 1, activation: 'Sigmoid' }, '[a, b]'],
    ] as const) {
      const { code, stdout, stderr } = await answerOf(model, `answer: { labels: ${labels} }`)
      assert.equal(code, 0, stderr)
      assert.match(stdout, /"confidence"/)
    }
  })

  it('a classification over what are no probabilities is refused with the line to write, which then works', async () => {
    for (const rows of [undefined, 1] as const) {
      const model = { classes: 2, ...(rows !== undefined && { rows }) }
      await refusedWith(
        model,
        'answer: { task: classification }',
        /output "p" has values such as \S+ and \S+, which are no probabilities: write "activation: softmax" below "answer:", or "task: tensors"/,
      )
      const { code, stdout } = await answerOf(model, 'answer: { task: classification, activation: softmax }')
      assert.equal(code, 0)
      const { probabilities } = JSON.parse(stdout) as { probabilities: Record<string, number> }
      assert.ok(Math.abs(Object.values(probabilities).reduce((sum, one) => sum + one, 0) - 1) < 1e-6)
    }
    await refusedWith({ classes: 1 }, 'answer: { labels: [no, yes] }', /write "activation: sigmoid"/)
    await refusedWith({ classes: 2 }, 'answer: { task: classification, threshold: 0.7 }', /write "activation: softmax"/)
    assert.equal((await answerOf({ classes: 2 }, 'answer: { task: tensors }')).code, 0)
  })

  it('a classification that was guessed from the file answers with the label alone where scores are no probabilities', async () => {
    await using folder = await temporaryFolder()
    const model = (transform: string): Uint8Array =>
      buildModel({
        input: [value('x', 'FP32', ['batch', 2])],
        output: [value('label', 'BYTES', ['batch']), value('scores', 'FP32', ['batch', 2])],
        node: [
          {
            ...node('LinearClassifier', ['x'], ['label', 'scores'], {
              classlabels_strings: ['no', 'yes'],
              coefficients: [5, -4, -5, 4],
              intercepts: [-1, 1],
              post_transform: transform,
            }),
            domain: 'ai.onnx.ml',
          },
        ],
      })
    await folder.write('scores.onnx', model('NONE'))
    await folder.write('probabilities.onnx', model('SOFTMAX'))
    const answer = async (name: string): Promise<{ stdout: string; stderr: string }> => {
      const { code, stdout, stderr } = await slipway(['predict', join(folder.path, `${name}.onnx`), '--json'], '[1, 0]')
      assert.equal(code, 0, stderr)
      return { stdout, stderr }
    }
    const mended = await answer('scores')
    assert.match(mended.stdout, /"prediction":\s*"no"/)
    assert.doesNotMatch(mended.stdout, /probabilities|confidence/)
    assert.match((await answer('probabilities')).stdout, /"probabilities"/)
    await folder.write('threshold/model.onnx', model('NONE'))
    await folder.write('threshold/slipway.yaml', 'answer: { threshold: 0.9 }\n')
    const refused = await slipway(['predict', join(folder.path, 'threshold')], '[1, 0]')
    assert.equal(refused.code, 10, 'a threshold is for probabilities')
    assert.match(refused.stderr, /are no probabilities: write "activation: softmax"/)
    await using server = await serveInChild([join(folder.path, 'scores.onnx')])
    assert.match(server.said(), /output \\?"scores.*are no probabilities; answers are the label alone/)
  })
})
