import { Type } from 'typebox'
import type { Static, TSchemaOptions } from 'typebox'
import { API_VERSION, oneOf } from './schema.ts'

const Optional = Type.Optional

/** Names of gates. The approval of a person has a name that no measured gate may have. */
export const GATE_NAME = String.raw`^(?!approval$)[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`
/** Name by which an approval is asked for among gates. */
export const APPROVAL_GATE = 'approval'

/** Metrics of classifiers and of regressions, by the names of gates documents. */
export const METRICS = [
  'accuracy',
  'precision',
  'recall',
  'f1',
  'logLoss',
  'rocAuc',
  'brier',
  'ece',
  'mae',
  'rmse',
  'r2',
  'meanError',
] as const
export type MetricName = (typeof METRICS)[number]

const named = {
  name: Optional(Type.String({ minLength: 1, maxLength: 200, description: 'What the result is called. Default: what is checked.' })),
  severity: Optional(
    oneOf(['error', 'warning', 'info'], {
      description:
        'What it means when it does not pass. error: the version does not pass. warning: a person has to approve the version. info: it is only shown. Default: error.',
    }),
  ),
}

const measured = {
  ...named,
  dataset: Optional(Type.String({ description: 'Name of the dataset. Default: the first one.' })),
  minimumSample: Optional(
    Type.Integer({
      minimum: 1,
      description: 'Rows that are needed, in each slice too; with fewer the answer is "not enough data". Default: 30.',
    }),
  ),
}

const metric = oneOf(METRICS, {
  description:
    'precision, recall, f1 and rocAuc are means over the classes (of two classes: rocAuc of the second), or those of `class`; ece and meanError: 0 is best.',
})

const ofClass = Optional(
  Type.Union([Type.String(), Type.Number(), Type.Boolean()], { description: 'A label: the metric of this class alone.' }),
)

const thresholds = {
  min: Optional(Type.Number({ description: 'Smallest value that passes.' })),
  max: Optional(Type.Number({ description: 'Largest value that passes.' })),
  change: Optional(
    Type.Number({
      description: 'By how much it must be better than the champion, absolutely; negative: how much worse it may be.',
    }),
  ),
  relative: Optional(
    Type.Number({
      description: 'By which share of the champion it must be better (0.05: 5 %); negative: how much worse it may be.',
    }),
  ),
}

const Slice = Type.Object(
  {
    column: Type.String({ minLength: 1, description: 'Column of the dataset; it need not be a feature.' }),
    bins: Optional(
      Type.Array(Type.Number(), {
        minItems: 1,
        description:
          'Numbers at which a numeric column is cut; a slice has its lower end and not its upper. Default: a slice for each value.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type Slice = Static<typeof Slice>

function listOf<T extends Parameters<typeof Type.Object>[0]>(properties: T, options: TSchemaOptions) {
  return Optional(Type.Array(Type.Object(properties, { additionalProperties: false }), options))
}

const column = Type.String({ minLength: 1 })
const by = Optional(
  Type.Array(Slice, {
    minItems: 1,
    maxItems: 5,
    description: 'Each slice is tested by itself, with the p-values corrected by Holm. Default: all rows together.',
  }),
)
const share = Optional(Type.Number({ minimum: 0, maximum: 1, description: 'Share of the rows that must behave so. Default: 0.95.' }))

export const GateChecks = Type.Object(
  {
    contract: Optional(Type.Boolean({ description: 'Clients of the champion are understood by the version. Default: true.' })),
    golden: Optional(Type.Boolean({ description: 'The golden examples of the package are answered as expected. Default: true.' })),
    approval: Optional(Type.Boolean({ description: 'A person has approved the version. Default: as the policy of its model says.' })),
    metrics: listOf(
      { ...measured, metric, class: ofClass, ...thresholds },
      { description: 'A metric against thresholds and the champion.' },
    ),
    baseline: listOf(
      {
        ...measured,
        metric,
        gain: Optional(
          Type.Number({
            description:
              'Part of the way from a model that knows nothing (the most frequent class, the mean) to a perfect one. Default: 0.1.',
          }),
        ),
      },
      { description: 'The version is better than a model that knows nothing.' },
    ),
    slices: listOf(
      {
        ...measured,
        metric,
        class: ofClass,
        by: Type.Array(Slice, { minItems: 1, maxItems: 5, description: 'The slices.' }),
        ...thresholds,
        drop: Optional(
          Type.Number({ minimum: 0, description: 'How far a slice may stay behind all rows, as a share of their value (0.2: 20 %).' }),
        ),
      },
      { description: 'A metric in slices of the rows: thresholds hold in each of them.' },
    ),
    gaps: listOf(
      {
        ...measured,
        metric,
        train: Type.String({ description: 'Name of a dataset that the model was trained on.' }),
        max: Optional(Type.Number({ minimum: 0, description: 'Largest (train - test) / |train|. Default: 0.1.' })),
      },
      { description: 'How much worse it is on data that it has not seen.' },
    ),
    comparisons: listOf(
      {
        ...measured,
        test: oneOf(['mcnemar', 'bootstrap'], {
          description: 'mcnemar: right and wrong answers of classifiers, exact. bootstrap: any metric, row by row in pairs.',
        }),
        metric: Optional(metric),
        class: ofClass,
        by,
        margin: Optional(
          Type.Number({
            minimum: 0,
            description:
              'How much worse than the champion is not worse. Default: 0.01, in slices 0.05; for mae, rmse and meanError that share of the value of the champion.',
          }),
        ),
        alpha: Optional(
          Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1, description: 'Probability of a false alarm. Default: 0.05.' }),
        ),
        draws: Optional(Type.Integer({ minimum: 100, maximum: 1_000_000, description: 'Of the bootstrap. Default: 10000.' })),
        seed: Optional(Type.Integer({ minimum: 0, description: 'Of the bootstrap. Default: 1.' })),
      },
      { description: 'Whether the version is worse than the champion, by a test on the same rows.' },
    ),
    calibration: listOf(
      {
        ...measured,
        max: Optional(Type.Number({ minimum: 0, description: 'Largest expected calibration error. Default: 0.1.' })),
        bins: Optional(Type.Integer({ minimum: 2, maximum: 100, description: 'Bins of equal width. Default: 10.' })),
      },
      { description: 'Whether a confidence of 0.8 is right in 80 % of the cases.' },
    ),
    invariance: listOf(
      {
        ...measured,
        set: Optional(Type.Record(column, Type.Unknown(), { description: 'Columns that get another value.' })),
        case: Optional(Type.Record(column, oneOf(['upper', 'lower']), { description: 'Columns of text that are written otherwise.' })),
        add: Optional(Type.Record(column, Type.Number(), { description: 'Columns to which something is added.' })),
        permute: Optional(Type.Array(column, { minItems: 1, description: 'Columns whose values are exchanged between rows.' })),
        within: Optional(
          Type.Number({
            minimum: 0,
            description: 'How far the probability, or number, may move. Default: the same class; for numbers 1e-6.',
          }),
        ),
        share,
      },
      { description: 'What must not change the answer: the rows are changed so, and asked again.' },
    ),
    directional: listOf(
      {
        ...measured,
        feature: Type.String({ minLength: 1, description: 'A numeric column.' }),
        add: Type.Number({ description: 'What is added to it.' }),
        expect: oneOf(['increase', 'decrease'], { description: 'Which way the probability of the class, or the number, has to go.' }),
        class: ofClass,
        strict: Optional(Type.Boolean({ description: 'Answers that stay where they are count as wrong. Default: false.' })),
        share,
      },
      { description: 'Which way the answer has to go when a feature grows.' },
    ),
    latency: Optional(
      Type.Object(
        {
          ...named,
          dataset: measured.dataset,
          p99Ms: Optional(
            Type.Number({ exclusiveMinimum: 0, description: 'Largest 99th percentile of requests of one row, milliseconds.' }),
          ),
          relative: Optional(Type.Number({ description: 'How much slower than the champion it may be (0.2: 20 %).' })),
          runs: Optional(
            Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Requests. Default: 500; under 100 no 99th percentile is told.' }),
          ),
        },
        { additionalProperties: false, description: 'How long requests take on this machine, without the network.' },
      ),
    ),
    memory: Optional(
      Type.Object(
        {
          ...named,
          dataset: measured.dataset,
          maxMb: Optional(
            Type.Number({ exclusiveMinimum: 0, description: 'Largest resident memory of a process that has the model loaded, MiB.' }),
          ),
          relative: Optional(Type.Number({ description: 'How much more than the champion it may need (0.2: 20 %).' })),
        },
        { additionalProperties: false, description: 'What a process that serves one instance holds on this machine.' },
      ),
    ),
  },
  {
    additionalProperties: false,
    description:
      'What is checked. Default: contract, golden examples, better than nothing, not worse than the champion, calibration (as a warning).',
  },
)
export type GateChecks = Static<typeof GateChecks>

export const DatasetSpec = Type.Object(
  {
    file: Type.String({
      minLength: 1,
      description: 'CSV, JSON Lines (.jsonl, .ndjson) or Parquet (.parquet): a path beside this file, https://..., or s3://BUCKET/KEY.',
    }),
    label: Type.String({ minLength: 1, description: 'Column with the truth. Rows without one are left out.' }),
    prediction: Optional(
      Type.String({
        minLength: 1,
        description: 'Column with the answers of what is to be replaced: it takes the place of a champion that is not there.',
      }),
    ),
    weight: Optional(Type.String({ minLength: 1, description: 'Column with the weight of a row. Default: 1.' })),
    id: Optional(Type.String({ minLength: 1, description: 'Column that names a row in reports. Default: its line.' })),
  },
  { additionalProperties: false },
)
export type DatasetSpec = Static<typeof DatasetSpec>

/** What a version must pass before it gets traffic: `gates.yaml`. */
export const GatesDocument = Type.Object(
  {
    apiVersion: Optional(Type.Literal(API_VERSION, { description: 'Format of this file.' })),
    kind: Optional(Type.Literal('Gates', { description: 'What this file describes.' })),
    name: Optional(
      Type.String({
        pattern: GATE_NAME,
        description: 'Name under which the result is kept, and that policies ask for. Default: release.',
      }),
    ),
    datasets: Optional(
      Type.Record(Type.String({ minLength: 1 }), DatasetSpec, {
        description: 'Datasets by name. The first is the one that checks are about.',
      }),
    ),
    checks: Optional(GateChecks),
  },
  { additionalProperties: false, description: 'What a version must pass before it gets traffic.' },
)
export type GatesDocument = Static<typeof GatesDocument>

export const DEFAULT_GATE = 'release'
