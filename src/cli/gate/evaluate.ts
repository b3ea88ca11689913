import { askRows, classesOf, questionOf, scoresOf, truthOf } from './answers.ts'
import type { Perturbed, Row, Sample, Scores } from '../../gates/gates.ts'
import type { Model } from '../../library/load-model.ts'
import type { Dataset } from './dataset.ts'

/** A dataset with the answers of both models. */
export interface Evaluated {
  readonly dataset: Dataset
  readonly sample: Sample
  /** Rows that the candidate refuses, with the reason. */
  readonly refused: readonly string[]
  /** Rows that the champion refuses, and that are left out for that. */
  readonly refusedByChampion: number
}

export interface Models {
  readonly candidate: Model
  readonly champion: Model | undefined
  readonly task: 'classification' | 'regression'
}

/** Asks both models every row. */
export async function evaluate(dataset: Dataset, { candidate, champion, task }: Models): Promise<Evaluated> {
  const { rows, names, spec } = dataset
  const labels = rows.map((row) => row[spec.label])
  const own = await askRows(candidate, questionsOf(candidate, rows, dataset))
  const classes = task === 'regression' ? undefined : classesOf(candidate.signature, own, labels)
  const truth = truthOf(labels, classes, { names, place: spec.file })
  const { scores, unusable } = scoresOf(own.answers, classes)
  const refusals = new Map([...unusable, ...own.refusals])
  const other = await championScores(dataset, champion, classes)
  const kept = [...rows.keys()].filter((row) => !refusals.has(row) && other?.refused.has(row) !== true)
  return {
    dataset,
    sample: {
      dataset: dataset.name,
      classes,
      rows: kept.map((row) => rows[row]!),
      names: kept.map((row) => names[row]!),
      truth: pick(truth, kept),
      weights: pick(dataset.weights, kept),
      candidate: pickScores(scores, kept, classes),
      champion: other === undefined ? undefined : pickScores(other.scores, kept, classes),
    },
    refused: [...refusals].toSorted(([a], [b]) => a - b).map(([row, reason]) => `${names[row]}: ${reason}`),
    refusedByChampion: other?.refused.size ?? 0,
  }
}

/** Answers of what the candidate is compared with: a model, or a column of the dataset; undefined where there is neither. */
async function championScores(
  { rows, spec, ...dataset }: Dataset,
  champion: Model | undefined,
  classes: readonly string[] | undefined,
): Promise<{ readonly scores: Scores; readonly refused: ReadonlySet<number> } | undefined> {
  if (champion !== undefined) {
    const { answers, refusals } = await askRows(champion, questionsOf(champion, rows, { spec }))
    const { scores, unusable } = scoresOf(answers, classes)
    return { scores, refused: new Set([...refusals.keys(), ...unusable.keys()]) }
  }
  const { prediction: column } = spec
  if (column === undefined) return undefined
  const place = `${spec.file}, column "${column}"`
  const given = [...rows.keys()].filter((row) => rows[row]![column] !== undefined && rows[row]![column] !== null)
  const predicted = new Float64Array(rows.length)
  const told = truthOf(
    given.map((row) => rows[row]![column]),
    classes,
    { names: given.map((row) => dataset.names[row]!), place },
  )
  for (const [index, row] of given.entries()) predicted[row] = told[index]!
  const there = new Set(given)
  return { scores: { predicted, probabilities: undefined }, refused: new Set([...rows.keys()].filter((row) => !there.has(row))) }
}

export function questionsOf({ signature }: Model, rows: readonly Row[], { spec }: Pick<Dataset, 'spec'>): unknown[] {
  return rows.map((row) => questionOf(row, signature, spec))
}

/** Asks changed rows, as far as the model takes them. */
export async function askChanged(
  model: Model,
  { sample: { classes }, dataset }: Evaluated,
  { rows, from }: Perturbed,
): Promise<{ readonly from: number[]; readonly scores: Scores; readonly refused: number }> {
  const { answers, refusals } = await askRows(model, questionsOf(model, rows, dataset))
  const { scores, unusable } = scoresOf(answers, classes)
  const kept = [...rows.keys()].filter((row) => !refusals.has(row) && !unusable.has(row))
  return { from: kept.map((row) => from[row]!), scores: pickScores(scores, kept, classes), refused: rows.length - kept.length }
}

function pick(values: Float64Array, kept: readonly number[]): Float64Array {
  return Float64Array.from(kept, (row) => values[row]!)
}

function pickScores({ predicted, probabilities }: Scores, kept: readonly number[], classes: readonly string[] | undefined): Scores {
  const width = classes?.length ?? 0
  return {
    predicted: pick(predicted, kept),
    probabilities:
      probabilities === undefined
        ? undefined
        : Float64Array.from(
            { length: kept.length * width },
            (_, at) => probabilities[kept[Math.floor(at / width)]! * width + (at % width)]!,
          ),
  }
}
