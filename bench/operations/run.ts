/**
 * The bench of operations: switches of versions, overload, cache, many models, processes, and what watching costs. It prints
 * one table and asserts nothing; docs/benchmarks.md says how to read it.
 */
import { writeFile } from 'node:fs/promises'
import { debianBinary } from '../../scripts/debian-package.ts'
import { pythonEnv } from '../../scripts/python-env.ts'
import { readBenchOptions } from '../options.ts'
import { paceMs, reportMachine } from '../machine.ts'
import { obtainModels } from '../models.ts'
import { packSlipway } from '../servers.ts'
import { temporaryFolder } from '../temporary.ts'
import { note } from './bench.ts'
import { BODIES } from './bodies.ts'
import { CACHE } from './cache.ts'
import { COST } from './cost.ts'
import { formatFigures, verdictOf } from './figures.ts'
import { GRPC } from './grpc.ts'
import { MANY } from './many.ts'
import { OVERLOAD } from './overload.ts'
import { PROCESSES } from './processes.ts'
import { SWAP } from './swap.ts'
import type { Part } from './bench.ts'
import type { Figure } from './figures.ts'

const USAGE = `sh scripts/node bench/operations/run.ts [options]
  --rounds N       rounds of each measurement (default 5)
  --seconds N      length of one closed-loop load; a load with switches takes 6 times as long, an overload twice (default 5)
  --only ID,...    only figures whose id contains one of these texts
  --json FILE      also write what was found
  --from-source    measure the sources, not the built package
  --list           print the ids of the figures
`

const PARTS: readonly Part[] = [...SWAP, ...OVERLOAD, ...CACHE, ...MANY, ...PROCESSES, ...GRPC, ...BODIES, ...COST]

type Options = NonNullable<ReturnType<typeof readOptions>>

function readOptions() {
  const ids = PARTS.flatMap((part) => part.ids)
  const read = readBenchOptions(USAGE, ids, { rounds: { value: 5, least: 1 }, seconds: { value: 5, least: 1 } })
  if (read === undefined) return undefined
  const { numbers, ...options } = read
  return { ...options, ...numbers }
}

interface Found {
  readonly figures: readonly Figure[]
  /** Ids that could not be measured, and why. */
  readonly failures: readonly string[]
  /** What a fixed piece of work took before each part, milliseconds. */
  readonly paces: readonly number[]
}

/** A part that cannot be measured does not cost the others. */
async function measure(options: Options, models: string, packed: string): Promise<Found> {
  const { rounds, seconds, wanted } = options
  const bench = { rounds, seconds, models, packed, scratch: temporaryFolder('slipway-bench-files') }
  const parts = PARTS.filter((part) => part.ids.some(wanted))
  if (parts.length === 0) throw new Error('--only names no figure; --list prints their ids')
  const figures: Figure[] = []
  const failures: string[] = []
  const paces: number[] = []
  for (const part of parts) {
    paces.push(paceMs())
    try {
      figures.push(...(await part.measure(bench)).filter((figure) => wanted(figure.id)))
    } catch (error) {
      failures.push(`${part.ids.join(', ')}: ${error instanceof Error ? error.message : String(error)}`)
      note(`not measured: ${failures.at(-1)}`)
    }
  }
  return { figures, failures, paces }
}

async function main(): Promise<void> {
  const options = readOptions()
  if (options === undefined) return
  if (process.platform !== 'linux') throw new Error('the benchmark reads /proc: it runs on Linux only')
  const machine = await reportMachine()
  await debianBinary('wrk')
  const models = await obtainModels(await pythonEnv('bench'))
  const packed = await packSlipway(options.fromSource)
  const { figures, failures, paces } = await measure(options, models, packed.folder)
  const slower = Math.max(...paces) / Math.min(...paces)
  console.log(
    `Node ${machine.node}, ${machine.cores} x ${machine.cpu}; load average before ${machine.loadBefore.map((value) => value.toFixed(2)).join(' ')}, ${(machine.busyBefore * 100).toFixed(0)} % busy; a fixed piece of work took up to ${slower.toFixed(2)} times its best\n${options.rounds} rounds, loads of ${options.seconds} s${options.fromSource ? '; from source' : ''}\n\n${formatFigures(figures)}`,
  )
  if (failures.length > 0) {
    console.log(`\nNot measured:\n${failures.map((failure) => `  ${failure}`).join('\n')}`)
    process.exitCode = 1
  }
  if (options.json !== undefined) {
    const { rounds, seconds, fromSource } = options
    const judged = figures.map((figure) => ({ ...figure, verdict: verdictOf(figure) }))
    await writeFile(
      options.json,
      `${JSON.stringify({ machine, options: { rounds, seconds, fromSource }, figures: judged, failures, paces }, undefined, 2)}\n`,
    )
  }
}

try {
  await main()
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
