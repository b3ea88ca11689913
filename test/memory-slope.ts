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

/** Slope through values at equal distances: the median of those of all pairs, which single outliers do not move (Theil, 1950; Sen, 1968). */
export function medianSlope(values: readonly number[]): number {
  const slopes = values.flatMap((value, i) => values.slice(0, i).map((earlier, j) => (value - earlier) / (i - j)))
  return slopes.toSorted((a, b) => a - b)[slopes.length >> 1] ?? 0
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
 * Does the same again and again, and requires that the process grows by no more in each round.
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
    const slope = medianSlope(values)
    const told = `${what}: ${slope.toFixed(3)} MB more in each round: ${values.map((mb) => mb.toFixed(1)).join(', ')}`
    if (process.env['SLOPES'] !== undefined) console.log(told)
    assert.ok(slope <= limit, told)
  }
}
