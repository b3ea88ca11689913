import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { READERS } from '../../src/protocol/bodies/readers.ts'
import { REQUEST_LIMIT_DEFAULTS } from '../../src/protocol/limits.ts'
import { encodeRows } from '../../src/signature/encode.ts'
import { requestOf } from '../../src/signature/request.ts'
import { vectorsOf } from '../../src/signature/text/pool.ts'
import { fp32, refused, signatureOf, spec } from './signature-of.ts'
import type { ModelPackageDocument } from '../../src/contract/model-package.ts'
import type { Signature } from '../../src/signature/signature.ts'
import type { Tensor, TensorSpec } from '../../src/tensor/tensor.ts'

const INPUTS = ['input_ids', 'attention_mask', 'token_type_ids'].map((name) => spec(name, 'INT64', [-1, -1]))
const HIDDEN = [spec('last_hidden_state', 'FP32', [-1, -1, 4])]

interface Facts {
  readonly inputs?: readonly TensorSpec[]
  readonly outputs?: readonly TensorSpec[]
  readonly tokenizer?: object
  readonly described?: Readonly<Record<string, unknown>>
  readonly document?: ModelPackageDocument
}

/** A model of texts, whose tokenizer knows the words a to d and marks the beginning and the end. */
function textModel({ inputs = INPUTS, outputs = HIDDEN, tokenizer = {}, described = {}, document = {} }: Facts = {}): Signature {
  const json = JSON.stringify({
    pre_tokenizer: { type: 'WhitespaceSplit' },
    model: { type: 'WordLevel', vocab: { '[PAD]': 0, '[UNK]': 1, '[CLS]': 2, '[SEP]': 3, a: 4, b: 5, c: 6, d: 7 }, unk_token: '[UNK]' },
    post_processor: { type: 'BertProcessing', cls: ['[CLS]', 2], sep: ['[SEP]', 3] },
    ...tokenizer,
  })
  const bytes = new SharedArrayBuffer(json.length)
  new Uint8Array(bytes).set(Buffer.from(json))
  const text = { tokenizer: { bytes, digest: json }, described, declared: document.text !== undefined, paths: [] }
  return signatureOf({ inputs, outputs, text }, document)
}

const listed = (tensors: readonly Tensor[]): unknown => tensors.map(({ name, datatype, shape, data }) => [name, datatype, shape, [...data]])

describe('texts as the inputs of a model', () => {
  it('are ids, a mask, and types, as long as the longest', () => {
    const { inputs, lengths } = encodeRows(textModel(), [{ text: 'a b' }, { text: 'c', text_pair: 'd z' }], 'inputs')
    assert.deepEqual(listed(inputs), [
      ['input_ids', 'INT64', [2, 6], [2n, 4n, 5n, 3n, 0n, 0n, 2n, 6n, 3n, 7n, 1n, 3n]],
      ['attention_mask', 'INT64', [2, 6], [1n, 1n, 1n, 1n, 0n, 0n, 1n, 1n, 1n, 1n, 1n, 1n]],
      ['token_type_ids', 'INT64', [2, 6], [0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 1n, 1n, 1n]],
    ])
    assert.deepEqual(lengths, [4, 6])
  })

  it('are filled up on the left where the tokenizer says so, with places counted from the text', () => {
    const inputs = [spec('position_ids', 'INT32', [-1, -1]), spec('input_ids', 'INT32', [-1, -1])]
    const tokenizer = { padding: { strategy: 'BatchLongest', direction: 'Left', pad_id: 9, pad_type_id: 0, pad_token: 'x' } }
    const encoded = encodeRows(textModel({ inputs, tokenizer }), ['a b c', 'd'], 'inputs')
    assert.deepEqual(listed(encoded.inputs), [
      ['position_ids', 'INT32', [2, 5], [0, 1, 2, 3, 4, 0, 0, 0, 1, 2]],
      ['input_ids', 'INT32', [2, 5], [2, 4, 5, 6, 3, 9, 9, 2, 7, 3]],
    ])
  })

  it('are as long as the graph takes, where it takes one length', () => {
    const inputs = [spec('input_ids', 'INT64', [-1, 5])]
    const encoded = encodeRows(textModel({ inputs }), ['a', 'a b c d a b c d'], 'inputs')
    assert.deepEqual(listed(encoded.inputs), [['input_ids', 'INT64', [2, 5], [2n, 4n, 3n, 0n, 0n, 2n, 4n, 5n, 6n, 3n]]])
  })

  for (const [what, expected, facts] of [
    ['slipway.yaml', 5, { document: { text: { maxLength: 5 } }, described: { 'sentence_bert_config.json': { max_seq_length: 6 } } }],
    [
      'sentence_bert_config.json',
      6,
      { described: { 'sentence_bert_config.json': { max_seq_length: 6 } }, tokenizer: { truncation: { max_length: 7 } } },
    ],
    [
      'tokenizer.json',
      7,
      { tokenizer: { truncation: { max_length: 7 } }, described: { 'tokenizer_config.json': { model_max_length: 8 } } },
    ],
    [
      'tokenizer_config.json',
      8,
      { described: { 'tokenizer_config.json': { model_max_length: 8 }, 'config.json': { max_position_embeddings: 9 } } },
    ],
    [
      'config.json',
      9,
      { described: { 'tokenizer_config.json': { model_max_length: 1e30 }, 'config.json': { max_position_embeddings: 9 } } },
    ],
    ['config.json of RoBERTa', 7, { described: { 'config.json': { model_type: 'roberta', max_position_embeddings: 9, pad_token_id: 1 } } }],
    ['nobody', 512, {}],
  ] as const)
    it(`have as many tokens at most as ${what} says`, () => {
      const signature = textModel(facts as Facts)
      assert.equal(signature.text!.maxLength, expected)
      assert.deepEqual(encodeRows(signature, ['a '.repeat(600)], 'inputs').lengths, [expected])
    })

  it('may not have more elements than a request may', () => {
    const rows = ['a', 'b c d', 'a']
    assert.equal(encodeRows(textModel(), rows, 'inputs', 15).rows, 3)
    assert.throws(
      () => encodeRows(textModel(), rows, 'inputs', 14),
      refused('SLW_LIMIT_EXCEEDED', /3 texts of up to 5 tokens make 15 elements/),
    )
  })

  it('may not have more of them in the dialects of other servers, either', async () => {
    const limits = { ...REQUEST_LIMIT_DEFAULTS, elements: 14 }
    for (const reader of ['batch', 'event', 'mlflow', 'container', 'azureml', 'people', 'torchserve'] as const) {
      const key = reader === 'people' || reader === 'torchserve' ? 'inputs' : reader === 'azureml' ? 'data' : 'instances'
      const body = Buffer.from(JSON.stringify({ [key]: ['a', 'b c d', 'a'].map((text) => ({ text })) }))
      const read = async () => await READERS[reader]({ body, header: 'application/json', signature: textModel(), limits })
      await assert.rejects(read, refused('SLW_LIMIT_EXCEEDED', /3 texts of up to 5 tokens make 15 elements/), reader)
    }
  })

  for (const [what, length, tokenizer] of [
    [
      'a regular expression that does not end',
      60,
      { pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+b' }, behavior: 'Isolated', invert: false } },
    ],
    ['a token that is compared at each place', 200_000, { added_tokens: [{ id: 8, content: `${'a'.repeat(200_000)}b`, special: true }] }],
  ] as const)
    it(`are given up where ${what} makes them last, and the next are read`, () => {
      const model = textModel({ tokenizer, document: { text: {} } })
      const started = performance.now()
      assert.throws(
        () => encodeRows(model, [{ text: 'a'.repeat(length) }], 'inputs'),
        refused('SLW_LIMIT_EXCEEDED', /the tokenizer takes longer than [24]\.0 s for these texts/),
      )
      assert.ok(performance.now() - started < 60_000)
      assert.equal(encodeRows(model, [{ text: 'b' }], 'inputs').rows, 1)
    })

  it('that are half a character are refused, and a NUL is as any other', () => {
    assert.throws(
      () => encodeRows(textModel(), ['a\ud83d'], 'inputs'),
      refused('SLW_INPUT_INVALID', { 'inputs[0].text': 'half of a character' }),
    )
    assert.deepEqual(encodeRows(textModel(), ['a \0'], 'inputs').lengths, [4])
  })
})

describe('what a package says of texts', () => {
  it('is refused where slipway.yaml asks for texts and the graph takes more', () => {
    const inputs = [...INPUTS, spec('age', 'FP32', [-1, 1])]
    assert.throws(
      () => textModel({ inputs, document: { text: {} } }),
      refused('SLW_PACKAGE_INVALID', /m: text: the model has the input "age"/),
    )
    const found = textModel({ inputs })
    assert.equal(found.text, undefined)
    assert.match(found.remark!, /takes token ids, and no texts: text: the model has the input "age"/)
  })

  it('is refused by the name of the part of a tokenizer that is not known, where slipway.yaml asks for texts', () => {
    const tokenizer = { normalizer: { type: 'Unheard' } }
    assert.throws(
      () => textModel({ tokenizer, document: { text: {} } }),
      refused('SLW_MODEL_UNSUPPORTED', /the normalizer Unheard is not supported/),
    )
    assert.match(textModel({ tokenizer }).remark!, /the normalizer Unheard is not supported/)
  })

  it('is one kind of rows', () => {
    const document: ModelPackageDocument = { text: {}, features: [{ name: 'a', type: 'number', input: 'input_ids' }] }
    assert.throws(() => textModel({ document }), refused('SLW_PACKAGE_INVALID', /the package has features too/))
  })

  for (const [what, expected, facts] of [
    ['the mean by itself', { pooling: 'mean', normalize: false }, {}],
    [
      'as 1_Pooling says',
      { pooling: 'cls' },
      { described: { '1_Pooling/config.json': { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false } } },
    ],
    ['as 1_Pooling of later releases says', { pooling: 'max' }, { described: { '1_Pooling/config.json': { pooling_mode: 'max' } } }],
    [
      'as slipway.yaml says',
      { pooling: 'max' },
      { document: { answer: { pooling: 'max' } }, described: { '1_Pooling/config.json': { pooling_mode: 'cls' } } },
    ],
    [
      'one long where modules.json says so',
      { normalize: true },
      { described: { 'modules.json': [{ type: 'sentence_transformers.models.Normalize' }] } },
    ],
    [
      'that of sentence_embedding',
      { output: 'sentence_embedding', perToken: false },
      { outputs: [...HIDDEN, spec('sentence_embedding', 'FP32', [-1, 4])] },
    ],
  ] as const)
    it(`of vectors: ${what}`, () => {
      const { answer } = textModel(facts as Facts)
      assert.equal(answer.task, 'embedding')
      for (const [key, value] of Object.entries(expected)) assert.equal((answer as unknown as Record<string, unknown>)[key], value)
    })

  for (const [message, described] of [
    [
      /1_Pooling\/config\.json has pooling_mode_lasttoken, which is not known here/,
      { '1_Pooling/config.json': { pooling_mode_lasttoken: true } },
    ],
    [/has pooling_mode weightedmean/, { '1_Pooling/config.json': { pooling_mode: 'weightedmean' } }],
    [
      /modules\.json has sentence_transformers\.models\.Dense behind the pooling/,
      { 'modules.json': [{ type: 'sentence_transformers.models.Dense' }] },
    ],
  ] as const)
    it(`of vectors: refused where they would be others (${message.source.slice(0, 40)})`, () => {
      assert.throws(() => textModel({ described }), refused('SLW_PACKAGE_INVALID', message))
    })

  const logits = (classes: number): TensorSpec[] => [spec('logits', 'FP32', [-1, classes])]
  const config = { 'config.json': { id2label: { 0: 'bad', 1: 'good' } } }
  it('of classes: logits become probabilities, with the labels of config.json where there are as many', () => {
    const { answer } = textModel({ outputs: logits(2), described: config })
    assert.deepEqual(
      [answer.task, 'labels' in answer && answer.labels, 'activation' in answer && answer.activation],
      ['classification', ['bad', 'good'], 'softmax'],
    )
    const other = textModel({ outputs: logits(3), described: config }).answer
    assert.equal('labels' in other && other.labels, undefined)
    const own = textModel({ outputs: logits(2), described: config, document: { answer: { labels: ['x', 'y'] } } }).answer
    assert.deepEqual('labels' in own && own.labels, ['x', 'y'])
    const several = { 'config.json': { ...config['config.json'], problem_type: 'multi_label_classification' } }
    const sigmoid = textModel({ outputs: logits(2), described: several }).answer
    assert.equal('activation' in sigmoid && sigmoid.activation, 'sigmoid')
  })

  it('of one number, as a cross-encoder has it; and of each token', () => {
    assert.deepEqual(textModel({ outputs: logits(1) }).answer, { task: 'regression', value: 'logits' })
    assert.deepEqual(textModel({ outputs: [spec('logits', 'FP32', [-1, -1, 9])] }).answer, { task: 'tensors' })
  })
})

describe('rows of texts', () => {
  it('may be lists under their names', () => {
    const { rows, many } = requestOf({ text: ['a', 'b'], text_pair: ['c', 'd'] }, textModel())
    assert.deepEqual(
      [rows, many],
      [
        [
          { text: 'a', text_pair: 'c' },
          { text: 'b', text_pair: 'd' },
        ],
        true,
      ],
    )
    assert.equal(requestOf({ text: 'a' }, textModel()).many, false)
    assert.equal(requestOf(['a', 'b'], textModel()).rows.length, 2)
    assert.throws(
      () => requestOf({ text: ['a'], text_pair: [] }, textModel()),
      refused('SLW_INPUT_INVALID', { 'inputs.text_pair': 'a list of 1 texts' }),
    )
    assert.throws(
      () => requestOf({ text: ['a'], lang: 'en' }, textModel()),
      refused('SLW_INPUT_INVALID', { 'inputs.lang': 'no such feature' }),
    )
  })
})

describe('vectors of tokens become one', () => {
  // Two rows of three tokens, of which the second row has one.
  const output = fp32('h', [2, 3, 2], 3, 0, 0, 4, 3, -1, 6, 8, 100, 100, 100, 100)
  const pooled = (pooling: 'mean' | 'cls' | 'max' | 'none', normalize = false, side: 'left' | 'right' = 'right'): unknown =>
    vectorsOf({ plan: { pooling, normalize, perToken: true }, output, rows: 2, lengths: side === 'right' ? [3, 1] : [2, 1], side })
  it('by the tokens that count alone', () => {
    assert.deepEqual(pooled('mean'), [
      [2, 1],
      [6, 8],
    ])
    assert.deepEqual(pooled('cls'), [
      [3, 0],
      [6, 8],
    ])
    assert.deepEqual(pooled('max'), [
      [3, 4],
      [6, 8],
    ])
    assert.deepEqual(pooled('none'), [
      [
        [3, 0],
        [0, 4],
        [3, -1],
      ],
      [[6, 8]],
    ])
    assert.deepEqual(pooled('cls', true), [
      [1, 0],
      [0.6, 0.8],
    ])
  })

  it('also where shorter texts are filled up on the left', () => {
    assert.deepEqual(pooled('mean', false, 'left'), [
      [1.5, 1.5],
      [100, 100],
    ])
    assert.deepEqual(pooled('cls', false, 'left'), [
      [0, 4],
      [100, 100],
    ])
  })
})
