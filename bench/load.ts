/** Closed-loop load with wrk: every connection sends its next request when it has the answer to the last. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './children.ts'
import { CpuWatch, processTree } from './machine.ts'
import type { RequestBody } from './models.ts'

export interface Load {
  readonly requests: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Answers other than 2xx and 3xx, and requests without an answer. */
  readonly errors: number
  /** CPU time of the server for each request, microseconds: it is disturbed less by other programs than throughput is. */
  readonly cpuUs: number
  /** Share of the machine that other programs took meanwhile. */
  readonly othersShare: number
}

const MARK = 'MEASURED '

function script({ body, vary }: LoadOptions): string {
  const headers = Object.entries(body.headers).map(([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`)
  return `local file = assert(io.open(${JSON.stringify(body.file)}, "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
${headers.join('\n')}
${vary === undefined ? '' : varying(vary)}
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("${MARK}%d %d %.1f %.1f %d\\n", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
`
}

/** Eight digits of each request are a number. Where it stays the same, a request costs wrk as much as where it does not. */
function varying({ at, from, step }: NonNullable<LoadOptions['vary']>): string {
  return `local before, after, number = wrk.body:sub(1, ${at}), wrk.body:sub(${at + 9}), ${from}
wrk.body = nil
function request()
  number = number + ${step}
  return wrk.format(nil, nil, nil, before .. string.format("%08d", number) .. after)
end`
}

export interface LoadOptions {
  readonly url: string
  readonly body: RequestBody
  readonly connections: number
  readonly seconds: number
  /** Process whose CPU time is counted, with its children. */
  readonly pid: number
  readonly scratch: string
  /** Writes a number of eight digits over the body at this byte: `from`, and `step` more with each request. Default: all requests are equal. */
  readonly vary?: { readonly at: number; readonly from: number; readonly step: number }
}

export async function measureLoad(options: LoadOptions): Promise<Load> {
  const { url, connections, seconds, pid, scratch } = options
  const file = join(scratch, 'request.lua')
  await writeFile(file, script(options))
  const watch = new CpuWatch(processTree(pid))
  const printed = await run('wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', file, url])
  const { serverMs, othersShare } = watch.stop()
  const line = printed.split('\n').find((candidate) => candidate.startsWith(MARK))
  if (line === undefined) throw new Error(`wrk said nothing that can be read:\n${printed}`)
  const [requests = 0, durationUs = 1, p50 = 0, p99 = 0, errors = 0] = line.slice(MARK.length).split(' ').map(Number)
  return {
    requests,
    perSecond: (requests / durationUs) * 1e6,
    p50Ms: p50 / 1000,
    p99Ms: p99 / 1000,
    errors,
    cpuUs: (serverMs * 1000) / Math.max(1, requests),
    othersShare,
  }
}
