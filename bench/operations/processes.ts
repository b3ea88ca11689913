/** What a second serving process brings where one main thread is the bottleneck. */
import { median, rangeOf } from '../table.ts'
import { bodyOf, closedLoop, note, serve, warmUp } from './bench.ts'
import type { Load } from '../load.ts'
import type { OperationsBench, Part } from './bench.ts'
import type { Figure } from './figures.ts'

const CONNECTIONS = 64

async function measure(bench: OperationsBench): Promise<Figure[]> {
  const body = await bodyOf(bench, 'churn', 'json')
  const load = { model: 'churn', body, connections: CONNECTIONS } as const
  const found: [Load[], Load[]] = [[], []]
  {
    await using one = await serve(bench, 'churn')
    await using two = await serve(bench, 'churn', { SLIPWAY_PROCESSES: '2' })
    const servers = [one, two] as const
    for (const server of servers) await warmUp(bench, server, load)
    for (let index = 0; index < bench.rounds; index++) {
      for (const which of index % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
        const measured = await closedLoop(bench, servers[which], load)
        found[which].push(measured)
        note(
          `processes ${index + 1}/${bench.rounds} ${which + 1}: ${measured.perSecond.toFixed(0)} req/s, p99 ${measured.p99Ms.toFixed(1)} ms, CPU ${measured.cpuUs.toFixed(0)} us/req`,
        )
      }
    }
  }
  const [one, two] = found
  const describe = (loads: readonly Load[]): string =>
    `${median(loads.map((each) => each.perSecond)).toFixed(0)} req/s (p99 ${median(loads.map((each) => each.p99Ms)).toFixed(1)} ms, ${median(loads.map((each) => each.cpuUs)).toFixed(0)} us of CPU each)`
  const ratios = two.map((load, index) => load.perSecond / one[index]!.perSecond)
  return [
    {
      id: 'ops.processes.throughput',
      what: `churn, JSON, ${CONNECTIONS} connections: req/s of --processes 2 against 1`,
      value: median(ratios),
      unit: '',
      range: rangeOf(ratios),
      target: undefined,
      errors: [...one, ...two].reduce((sum, load) => sum + load.errors, 0),
      from: `two ${describe(two)}, one ${describe(one)}`,
    },
  ]
}

export const PROCESSES: readonly Part[] = [{ ids: ['ops.processes.throughput'], measure }]
