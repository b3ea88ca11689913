import { mergeHistograms } from '../../contract/statistics/histogram.ts'
import { observedFamilies } from './metrics.ts'
import { mergeObserved } from './observations.ts'
import type { Family } from './exposition.ts'
import type { MetricsOptions } from './metrics.ts'
import type { Observed } from './observations.ts'

/** All counts of one process: statistics of versions, and metrics of everything else. Plain data, which crosses processes. */
export interface ProcessCounts {
  readonly observed: readonly Observed[]
  readonly families: readonly Family[]
}

export const NOTHING_COUNTED: ProcessCounts = { observed: [], families: [] }

export function mergeCounts(all: readonly ProcessCounts[]): ProcessCounts {
  return { observed: mergeObserved(all.map(({ observed }) => observed)), families: mergeFamilies(all.map(({ families }) => families)) }
}

/** The metrics of a server. */
export function familiesOf({ observed, families }: ProcessCounts, options: MetricsOptions): Family[] {
  return mergeFamilies([observedFamilies(observed, options), families])
}

type Value = Family['samples'][number]['value']

/**
 * The metrics of several processes as those of one server: counters and histograms add up, exactly; gauges as the catalogue
 * says (`merge`).
 */
export function mergeFamilies(all: readonly (readonly Family[])[]): Family[] {
  const merged = new Map<string, { family: Family; samples: Map<string, Family['samples'][number]> }>()
  for (const family of all.flat()) {
    const entry = merged.get(family.name) ?? { family, samples: new Map<string, Family['samples'][number]>() }
    merged.set(family.name, entry)
    for (const sample of family.samples) {
      const key = JSON.stringify(Object.entries(sample.labels))
      const other = entry.samples.get(key)
      const value = other === undefined ? sample.value : combine(family, other.value, sample.value)
      entry.samples.set(key, { labels: sample.labels, value })
    }
  }
  return [...merged.values()].map(({ family, samples }) => ({ ...family, samples: [...samples.values()] }))
}

function combine({ name, info }: Family, a: Value, b: Value): Value {
  if (typeof a !== 'number' || typeof b !== 'number') {
    if (typeof a === 'number' || typeof b === 'number') throw new RangeError(`${name} is a number on one side and a histogram on the other`)
    return mergeHistograms(a, b)
  }
  switch (info.merge ?? 'sum') {
    case 'max':
      return Math.max(a, b)
    case 'min':
      return Math.min(a, b)
    case 'sum':
      return a + b
  }
}
