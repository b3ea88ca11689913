import { Type } from 'typebox'
import type { Static } from 'typebox'
import { API_VERSION, oneOf } from './schema.ts'
import { ServingOptions } from './serving-options.ts'

const scalar = Type.Union([Type.Number(), Type.String(), Type.Boolean()])

/** Mark of what records must not have in the clear. */
const Sensitive = Type.Optional(
  oneOf(['drop', 'hash'], {
    description: 'Records leave the value out (`drop`), or have a keyed digest of it (`hash`). Default: they have the value.',
  }),
)

/** One column that a person fills in. */
export const FeatureSpec = Type.Object(
  {
    name: Type.String({ minLength: 1, description: 'Name of the key in a row.' }),
    type: oneOf(['number', 'integer', 'boolean', 'category', 'string'], {
      description: 'What a value is. A category becomes columns or an index as `encode` says; a string goes to the model as text.',
    }),
    input: Type.Optional(
      Type.String({ description: 'The input tensor that takes this feature. Default: the only input, or the input of the same name.' }),
    ),
    categories: Type.Optional(
      Type.Array(scalar, { minItems: 1, description: 'The values of a category, in the order of its columns or indices.' }),
    ),
    encode: Type.Optional(
      oneOf(['onehot', 'index', 'text'], {
        description:
          'How a category becomes numbers: one column for each value, its index, or the text itself. Default: text into a string tensor, else onehot.',
      }),
    ),
    length: Type.Optional(Type.Integer({ minimum: 1, description: 'The feature is a list of this many numbers. Default: one value.' })),
    minimum: Type.Optional(Type.Number({ description: 'Smallest value allowed.' })),
    maximum: Type.Optional(Type.Number({ description: 'Largest value allowed.' })),
    default: Type.Optional(
      Type.Union([scalar, Type.Null()], { description: 'Used when the key is absent. null stands for a missing number (NaN).' }),
    ),
    nan: Type.Optional(oneOf(['reject', 'warn', 'off'], { description: 'What to do with NaN, infinity and null. Default: reject.' })),
    description: Type.Optional(Type.String({ description: 'For people, in /docs and `inspect`.' })),
    unit: Type.Optional(Type.String({ description: 'Of a number, for people: months, EUR.' })),
    sensitive: Sensitive,
  },
  { additionalProperties: false },
)
export type FeatureSpec = Static<typeof FeatureSpec>

/** Conversion of a picture to a tensor. */
export const ImageSpec = Type.Object(
  {
    input: Type.Optional(Type.String({ description: 'The input tensor. Default: the only input.' })),
    width: Type.Integer({ minimum: 1, maximum: 8192, description: 'Pixels that the model takes in a row.' }),
    height: Type.Integer({ minimum: 1, maximum: 8192, description: 'Rows of pixels that the model takes.' }),
    channels: Type.Optional(oneOf(['rgb', 'bgr', 'gray'], { description: 'Default: rgb.' })),
    layout: Type.Optional(
      oneOf(['nchw', 'nhwc', 'flat'], {
        description: 'Order of the dimensions. `flat` is one row of height x width x channels. Default: nchw.',
      }),
    ),
    resize: Type.Optional(
      oneOf(['stretch', 'cover', 'contain'], {
        description: 'stretch ignores the aspect ratio, cover crops the middle, contain pads with black. Default: stretch.',
      }),
    ),
    scale: Type.Optional(Type.Number({ description: 'Multiplies each 0..255 value first. Default: 1/255.' })),
    mean: Type.Optional(Type.Array(Type.Number(), { description: 'Subtracted per channel after scaling. Default: 0.' })),
    std: Type.Optional(
      Type.Array(Type.Number({ exclusiveMinimum: 0 }), { description: 'Divides per channel after the mean. Default: 1.' }),
    ),
  },
  { additionalProperties: false, description: 'Takes pictures (PNG, JPEG) and makes tensors of them.' },
)
export type ImageSpec = Static<typeof ImageSpec>

/** Conversion of texts to token ids. */
export const TextSpec = Type.Object(
  {
    tokenizer: Type.Optional(Type.String({ minLength: 1, description: 'The tokenizer of the model. Default: tokenizer.json beside it.' })),
    maxLength: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'Tokens of one row that the model takes, marks included; further ones are cut off. Default: what sentence_bert_config.json, tokenizer.json, tokenizer_config.json or config.json say, else 512.',
      }),
    ),
    truncation: Type.Optional(
      oneOf(['longest_first', 'only_first', 'only_second', 'refuse'], {
        description:
          'Which of two texts is cut where they are too long together; `refuse` cuts nothing, and refuses a text that is too long. Default: as tokenizer.json says, else longest_first.',
      }),
    ),
    bytesMax: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'Bytes that one text may have, as UTF-8; a longer one is refused. Default: 1048576 (1 MiB).',
      }),
    ),
  },
  {
    additionalProperties: false,
    description: 'Takes texts and makes token ids of them. Default: found by tokenizer.json beside a graph with the input `input_ids`.',
  },
)
export type TextSpec = Static<typeof TextSpec>

/** Conversion of tensors to an answer. */
export const AnswerSpec = Type.Object(
  {
    task: Type.Optional(
      oneOf(['classification', 'regression', 'ranking', 'embedding', 'tensors'], {
        description:
          'Default: classification where labels or probabilities are found, else regression for one number a row, embedding for an encoder of texts, else tensors.',
      }),
    ),
    labels: Type.Optional(Type.Array(scalar, { minItems: 1, description: 'Class labels, in the order of the probabilities.' })),
    probabilities: Type.Optional(
      Type.String({ description: 'Output with one score per class. Default: the only float output with as many columns as labels.' }),
    ),
    activation: Type.Optional(
      oneOf(['none', 'softmax', 'sigmoid'], { description: 'Turns raw scores into probabilities. Default: none.' }),
    ),
    threshold: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description: 'Two classes: probability of the second from which it is the prediction. Default: the larger wins.',
      }),
    ),
    value: Type.Optional(Type.String({ description: 'Regression: the output with the number. Default: the only output.' })),
    scores: Type.Optional(Type.String({ description: 'Ranking: the output with one score per item.' })),
    items: Type.Optional(
      Type.String({ description: 'Ranking: the input that holds the item ids. Default: items are numbered from 0, or named by labels.' }),
    ),
    embedding: Type.Optional(
      Type.String({ description: 'Embedding: the output with one vector per row, or per token. Default: the one that encoders have.' }),
    ),
    pooling: Type.Optional(
      oneOf(['mean', 'cls', 'max', 'none'], {
        description:
          'Embedding: how the vectors of the tokens become one: their mean, the first, the greatest of each element; `none` answers one per token. Default: as 1_Pooling/config.json says, else mean.',
      }),
    ),
    normalize: Type.Optional(
      Type.Boolean({ description: 'Embedding: whether vectors are made one long. Default: whether modules.json has a module that does.' }),
    ),
    topK: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'How many classes or items an answer lists. Classes are then also listed as `top`, the likeliest first, with `label` and `probability`. Default: all classes, 10 items.',
      }),
    ),
  },
  { additionalProperties: false, description: 'What an answer is made of. Default: as the file suggests.' },
)
export type AnswerSpec = Static<typeof AnswerSpec>

const TensorDimension = Type.Union([Type.Integer({ minimum: -1 }), Type.String()])

/** Corrects or completes the declaration of a tensor in the model file. */
export const TensorOverride = Type.Object(
  {
    name: Type.String({ minLength: 1, description: 'Of a tensor in the model file.' }),
    shape: Type.Optional(Type.Array(TensorDimension, { description: 'A number, or -1 or a name for a free dimension.' })),
    minimum: Type.Optional(Type.Number({ description: 'Smallest value allowed, also for raw tensors.' })),
    maximum: Type.Optional(Type.Number({ description: 'Largest value allowed, also for raw tensors.' })),
    sensitive: Sensitive,
    description: Type.Optional(Type.String({ description: 'For people, in /docs and `inspect`.' })),
  },
  { additionalProperties: false },
)
export type TensorOverride = Static<typeof TensorOverride>

const Row = Type.Record(Type.String(), Type.Unknown())

export const GoldenExample = Type.Object(
  {
    name: Type.Optional(Type.String({ description: 'For messages. Default: its number.' })),
    input: Type.Optional(Type.Unknown({ description: 'A row, or a list of rows, as a client would send it.' })),
    file: Type.Optional(Type.String({ description: 'A picture beside slipway.yaml, instead of `input`.' })),
    expect: Type.Unknown({ description: 'The answer, or the part of it that is checked.' }),
    tolerance: Type.Optional(Type.Number({ minimum: 0, description: 'Allowed absolute difference of numbers. Default: 1e-4.' })),
  },
  { additionalProperties: false },
)
export type GoldenExample = Static<typeof GoldenExample>

/** `slipway.yaml`: the description of a model package. The options in `serving` are not in its digest. */
export const ModelPackageDocument = Type.Object(
  {
    apiVersion: Type.Optional(Type.Literal(API_VERSION, { description: 'Format of this file.' })),
    kind: Type.Optional(Type.Literal('Model', { description: 'What this file describes.' })),
    name: Type.Optional(
      Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$', description: 'What clients call. Default: the name of the folder.' }),
    ),
    version: Type.Optional(Type.String({ description: 'Default: the number of the version folder, else 1.' })),
    description: Type.Optional(Type.String({ description: 'For people, in /docs and the registry.' })),
    model: Type.Optional(
      Type.String({
        description:
          'The model file. Default: the only .onnx file beside slipway.yaml, or the only model of XGBoost, LightGBM or CatBoost.',
      }),
    ),
    features: Type.Optional(
      Type.Array(FeatureSpec, { description: 'Columns in the order of the input tensor. Default: those that the model file names.' }),
    ),
    image: Type.Optional(ImageSpec),
    text: Type.Optional(TextSpec),
    inputs: Type.Optional(Type.Array(TensorOverride, { description: 'Corrects or completes what the model file says of its inputs.' })),
    answer: Type.Optional(AnswerSpec),
    examples: Type.Optional(Type.Array(Row, { description: 'Rows that show what to send; used by /docs, the probe and warm-up.' })),
    warmup: Type.Optional(
      Type.Object(
        {
          from: Type.Optional(
            oneOf(['examples', 'zeros', 'random'], { description: 'Default: examples where there are some, else zeros.' }),
          ),
          runs: Type.Optional(
            Type.Integer({ minimum: 0, maximum: 1000, description: 'Runs of each instance before it is ready. Default: 3.' }),
          ),
        },
        { additionalProperties: false, description: 'Runs before the first request.' },
      ),
    ),
    golden: Type.Optional(Type.Array(GoldenExample, { description: 'Checked at load; a version that fails is not served.' })),
    serving: Type.Optional(ServingOptions),
  },
  { additionalProperties: false, description: 'A model package.' },
)
export type ModelPackageDocument = Static<typeof ModelPackageDocument>
