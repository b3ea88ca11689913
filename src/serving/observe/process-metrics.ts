import { readdirSync, readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { slipwayVersion } from '../../core/version.ts'
import { METRICS } from './catalog.ts'
import type { Family } from './exposition.ts'

/** CPU, memory and event loop of this process, and of its cgroup where there is one. */
export class ProcessMetrics {
  readonly #delay = monitorEventLoopDelay({ resolution: 20 })
  readonly #startSeconds = Date.now() / 1000 - process.uptime()

  constructor() {
    this.#delay.enable()
  }

  families(): Family[] {
    const { user, system } = process.cpuUsage()
    const p99 = this.#delay.percentile(99) / 1e9
    this.#delay.reset()
    const cpu = keyValues('/sys/fs/cgroup/cpu.stat')
    return [
      {
        name: 'slipway_build_info',
        info: METRICS.slipway_build_info,
        samples: [{ labels: { version: slipwayVersion(), node: process.version }, value: 1 }],
      },
      one('process_cpu_seconds_total', (user + system) / 1e6),
      one('process_resident_memory_bytes', process.memoryUsage.rss()),
      one('process_start_time_seconds', this.#startSeconds),
      one('process_open_fds', openFiles()),
      one('slipway_heap_bytes', process.memoryUsage().heapUsed),
      one('slipway_event_loop_delay_seconds', p99),
      one('slipway_cgroup_cpu_seconds_total', scaled(cpu.get('usage_usec'), 1e-6)),
      one('slipway_cgroup_cpu_throttled_seconds_total', scaled(cpu.get('throttled_usec'), 1e-6)),
      one('slipway_cgroup_memory_bytes', readNumber('/sys/fs/cgroup/memory.current')),
      one('slipway_cgroup_memory_limit_bytes', readNumber('/sys/fs/cgroup/memory.max')),
    ]
  }

  close(): void {
    this.#delay.disable()
  }
}

function one(name: keyof typeof METRICS, value: number | undefined): Family {
  return { name, info: METRICS[name], samples: value === undefined ? [] : [{ labels: {}, value }] }
}

function scaled(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor
}

function openFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return undefined
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function readNumber(path: string): number | undefined {
  const value = Number(readText(path)?.trim() ?? Number.NaN)
  return Number.isNaN(value) ? undefined : value
}

function keyValues(path: string): Map<string, number> {
  return new Map(
    (readText(path) ?? '')
      .split('\n')
      .map((line) => line.split(' '))
      .map(([key = '', value]) => [key, Number(value)]),
  )
}
