/** What is found, how it is printed, and the statistics behind it. */
import { markdownTable, median, verdict } from '../table.ts'
import type { Row } from '../table.ts'

export interface Figure {
  readonly id: string
  readonly what: string
  readonly value: number
  readonly unit: '' | ' %' | ' ms' | ' s' | ' MiB' | ' runs' | ' failed'
  /** Least and greatest of the rounds, or where `confidence` is true the bounds of a 95 % confidence interval. */
  readonly range: readonly [number, number] | undefined
  readonly confidence?: boolean
  readonly target: Row['target']
  /** Failed requests in the measurements behind this figure. */
  readonly errors: number
  /** What the figure is made of, with units. */
  readonly from: string
}

const HEAD = ['id', 'what', 'figure', 'rounds', 'target', 'verdict']
const DIGITS: Record<Figure['unit'], number> = { '': 2, ' %': 2, ' ms': 1, ' s': 1, ' MiB': 1, ' runs': 0, ' failed': 0 }

export function formatFigures(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const { id, what, range, confidence, target, unit } = figure
    const show = (value: number): string => value.toFixed(DIGITS[unit])
    const bounds = range === undefined ? '' : `${show(range[0])} to ${show(range[1])}`
    return [
      id,
      what,
      show(figure.value) + unit,
      confidence === true ? `95 %: ${bounds}` : bounds,
      target === undefined ? '' : `${target.bound === 'min' ? '>=' : '<='} ${target.value}${unit}`,
      verdictOf(figure),
    ]
  })
  const behind = figures.filter(({ from }) => from !== '').map(({ id, from }) => `  ${id}: ${from}`)
  return `${markdownTable(HEAD, rows)}\n\nMade of:\n${behind.join('\n')}`
}

/** A confidence interval with the target inside decides nothing. */
export function verdictOf(figure: Figure): string {
  const { range, confidence, target, errors } = figure
  if (errors > 0) return `${errors} ERRORS`
  if (confidence === true && target !== undefined && range !== undefined && range[0] <= target.value && range[1] > target.value)
    return 'undecided'
  return verdict(figure)
}

/** @returns NaN of nothing */
export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).toSorted()
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

const RESAMPLES = 10_000

/** 95 % confidence interval of the median, by the percentile bootstrap (Efron 1979). The same values give the same interval. */
export function medianInterval(values: readonly number[]): readonly [number, number] {
  let state = 1
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  const medians = Array.from({ length: RESAMPLES }, () => median(values.map(() => values[Math.floor(random() * values.length)]!)))
  return [quantile(medians, 0.025), quantile(medians, 0.975)]
}
