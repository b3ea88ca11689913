import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { processTree } from '../../src/cli/tune/process-memory.ts'
import { residentMb } from '../keep-alive-load.ts'

export interface Sample {
  readonly residentMb: number
  readonly descriptors: number
  readonly threads: number
  /** What keeps the event loop of the server busy. */
  readonly handles: number
  /** Process instances. */
  readonly children: number
}

export const MEASURES = ['residentMb', 'descriptors', 'threads', 'handles', 'children'] as const

export function takeSample(pid: number, handlesFile: string): Sample {
  return {
    residentMb: residentMb(pid),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: readdirSync(`/proc/${pid}/task`).length,
    handles: existsSync(handlesFile) ? Number(readFileSync(handlesFile, 'utf8')) : 0,
    children: processTree(pid).length - 1,
  }
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

/** The last fifth against the second, when everything has been used once. */
export const GROWTH_MAX = 1.25

export interface Growth {
  readonly measure: (typeof MEASURES)[number]
  readonly second: number
  readonly last: number
  readonly max: number
  readonly flat: boolean
}

export function growth(samples: readonly Sample[]): Growth[] {
  const fifth = Math.floor(samples.length / 5)
  return MEASURES.map((measure) => {
    const values = samples.map((sample) => sample[measure])
    const second = median(values.slice(fifth, 2 * fifth))
    const last = median(values.slice(-fifth))
    // A few more or less are no growth.
    return { measure, second, last, max: Math.max(...values), flat: last <= Math.max(second * GROWTH_MAX, second + 8) }
  })
}
