import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, until } from './fixtures.ts'
import type { LiveMemory } from './live-memory.ts'

/** What rounds may add to the memory of a process, and how many there are. */
export interface SlopeLimits {
  /** Of live objects, megabytes in a round: less than what a round would leave if it left anything. Default: 0.05. */
  readonly liveMb?: number
  /** Of all memory, of native code too, in which there are gaps. */
  readonly residentMb: number
  /** Rounds at the beginning that do not count: pools grow, code is compiled. Default: 6. */
  readonly warmUp?: number
  /** Rounds that count. Default: 12. */
  readonly rounds?: number
}

/** A slope, and what it is at least: with 99 % confidence the true one is above. */
export interface Slope {
  readonly median: number
  readonly atLeast: number
}

/** Quantile of the normal distribution for a confidence of 99 % on one side. */
const Z = 2.326

/**
 * Slope through values at equal distances: the median of those of all pairs, which single outliers do not move (Theil, 1950), and its lower
 * bound of confidence, by the number of pairs that rise where nothing does (Sen, 1968; the variance is Kendall's).
 */
export function slopeOf(values: readonly number[]): Slope {
  const slopes = values.flatMap((value, i) => values.slice(0, i).map((earlier, j) => (value - earlier) / (i - j))).toSorted((a, b) => a - b)
  const n = values.length
  const deviation = Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18)
  const below = Math.max(0, Math.floor((slopes.length - Z * deviation) / 2))
  return { median: slopes[slopes.length >> 1] ?? 0, atLeast: slopes[below] ?? 0 }
}

/** Environment of a process whose memory {@link requireNoSlope} reads by way of a file. */
export function reportingMemory(file: string): Record<string, string> {
  return { MEMORY_FILE: file, NODE_OPTIONS: `--import ${join(ROOT, 'test/report-memory.ts')}` }
}

async function memoryOf(pid: number, file: string): Promise<LiveMemory> {
  rmSync(file, { force: true })
  process.kill(pid, 'SIGUSR2')
  await until(() => existsSync(file), 'the process says how much memory it has')
  return JSON.parse(readFileSync(file, 'utf8')) as LiveMemory
}

/**
 * Does the same again and again, and requires that the process does not grow by more in each round: what single rounds keep for a while, as
 * compiled code or a collection that comes late, is no slope.
 * @param file as in {@link reportingMemory}
 */
export async function requireNoSlope(
  pid: number,
  file: string,
  { liveMb = 0.05, residentMb, rounds = 12, warmUp = 6 }: SlopeLimits,
  round: (index: number) => Promise<void>,
): Promise<void> {
  const readings: LiveMemory[] = []
  for (let index = 0; index < warmUp + rounds; index++) {
    await round(index)
    if (index >= warmUp) readings.push(await memoryOf(pid, file))
  }
  for (const [what, limit] of [
    ['live', liveMb],
    ['resident', residentMb],
  ] as const) {
    const values = readings.map((reading) => reading[what])
    const { median, atLeast } = slopeOf(values)
    const told = `${what}: ${median.toFixed(3)} MB more in each round, at least ${atLeast.toFixed(3)}: ${values.map((mb) => mb.toFixed(1)).join(', ')}`
    if (process.env['SLOPES'] !== undefined) console.log(told)
    assert.ok(atLeast <= limit, told)
  }
}
