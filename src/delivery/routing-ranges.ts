import { shareOut } from '../contract/ranges.ts'
import type { Range } from '../contract/ranges.ts'

/** Ranges of a routing; those of an earlier release adjoin in the order of their weights. */
export function rangesOf({ weights, ranges }: { readonly weights: string; readonly ranges: string | null }): Range[] {
  return ranges === null ? shareOut(JSON.parse(weights) as Record<string, number>) : (JSON.parse(ranges) as Range[])
}
