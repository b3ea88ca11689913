/**
 * The protocols under load of perf_analyzer, Triton's own generator: Slipway over HTTP and gRPC beside Triton (nvidia-pytriton, whose models
 * are functions of Python around ONNX Runtime) on the same files, in turns.
 *
 *     npm run bench:protocols -- --rounds 3 --seconds 1
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { perfAnalyzer } from '../../scripts/perf-analyzer.ts'
import { example } from '../../test/fixtures.ts'
import { startTriton } from '../../test/differential/peers.ts'
import { run } from '../children.ts'
import { CpuWatch, processTree } from '../machine.ts'
import { launch, packSlipway, slipwayServing } from '../servers.ts'
import { markdownTable, median } from '../table.ts'
import { freePort } from '../../test/fixtures.ts'

const MODEL = 'churn'
const COLUMNS = 10
const CONNECTIONS = [1, 8, 32] as const

interface Target {
  readonly name: string
  readonly protocol: 'http' | 'grpc'
  readonly address: string
  /** Process whose CPU time is counted, with its children. */
  readonly pid: number
}

interface Measured {
  readonly perSecond: number
  readonly p50Us: number
  readonly p99Us: number
  /** CPU time of the server for each request, microseconds. */
  readonly cpuUs: number
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '1' } } })
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)

const path = join(example(MODEL), 'model.onnx')
const analyzer = await perfAnalyzer()
const packed = await packSlipway(false)
try {
  const grpcPort = await freePort()
  const body = Buffer.from(
    JSON.stringify({
      inputs: [{ name: 'customers', datatype: 'FP32', shape: [1, COLUMNS], data: Array.from({ length: COLUMNS }, () => 0) }],
    }),
  )
  await using ours = await launch(slipwayServing(packed.folder, [`${MODEL}=${path}`], { SLIPWAY_GRPC_PORT: String(grpcPort) }), {
    model: MODEL,
    body,
  })
  await using triton = await startTriton({ [MODEL]: path }, 64)
  const targets: readonly Target[] = [
    { name: 'Slipway', protocol: 'http', address: new URL(ours.origin).host, pid: ours.pid },
    { name: 'Slipway', protocol: 'grpc', address: `127.0.0.1:${grpcPort}`, pid: ours.pid },
    { name: 'Triton', protocol: 'http', address: new URL(triton.url).host, pid: triton.pid },
    { name: 'Triton', protocol: 'grpc', address: triton.grpc, pid: triton.pid },
  ]
  const found = new Map<string, Measured[]>()
  for (let round = 0; round < rounds; round++)
    for (const connections of CONNECTIONS)
      for (const target of targets) {
        const key = keyOf(target, connections)
        found.set(key, [...(found.get(key) ?? []), await measure(target, connections)])
      }
  console.log(table(targets, found))
} finally {
  await packed.remove()
}

function keyOf({ name, protocol }: Target, connections: number): string {
  return `${name} ${protocol} ${connections}`
}

async function measure({ protocol, address, pid }: Target, connections: number): Promise<Measured> {
  const watch = new CpuWatch(processTree(pid))
  const printed = await run(analyzer.command, argumentsFor(protocol, address, connections), { env: { ...process.env, ...analyzer.env } })
  const { serverMs } = watch.stop()
  const number = (pattern: RegExp): number => {
    const match = pattern.exec(printed)
    if (match === null) throw new Error(`perf_analyzer said nothing that can be read:\n${printed}`)
    return Number(match[1])
  }
  const perSecond = number(/Throughput: ([\d.]+) infer\/sec/)
  const count = number(/Request count: (\d+)/)
  return { perSecond, p50Us: number(/p50 latency: (\d+)/), p99Us: number(/p99 latency: (\d+)/), cpuUs: (serverMs * 1000) / count }
}

/** Three windows, which it wants to be alike: any are, as what is spread is told by the rounds. */
function argumentsFor(protocol: Target['protocol'], address: string, connections: number): string[] {
  const settings = {
    '-m': MODEL,
    '-u': address,
    '-i': protocol,
    '--shape': `customers:${COLUMNS}`,
    '--input-data': 'zero',
    '--concurrency-range': String(connections),
    '--measurement-interval': String(seconds * 1000),
    '--max-trials': '10',
    '--stability-percentage': '999',
    '--percentile': '99',
  }
  // What Triton's statistics are protected by; nobody else minds.
  const token = protocol === 'http' ? 'triton-access-token' : 'triton-grpc-protocol-triton-access-token'
  return [...Object.entries(settings).flat(), '-H', `${token}:measured`]
}

function table(targets: readonly Target[], found: ReadonlyMap<string, readonly Measured[]>): string {
  const of = (key: string, field: keyof Measured): number => median(found.get(key)!.map((one) => one[field]))
  const rows = CONNECTIONS.flatMap((connections) =>
    targets.map((target) => {
      const key = keyOf(target, connections)
      const binary = `Slipway http ${connections}`
      const peer = `Triton ${target.protocol} ${connections}`
      return [
        String(connections),
        target.name,
        target.protocol,
        of(key, 'perSecond').toFixed(0),
        of(key, 'p50Us').toFixed(0),
        of(key, 'p99Us').toFixed(0),
        of(key, 'cpuUs').toFixed(0),
        (of(key, 'perSecond') / of(binary, 'perSecond')).toFixed(2),
        (of(key, 'perSecond') / of(peer, 'perSecond')).toFixed(2),
      ]
    }),
  )
  return markdownTable(
    ['Connections', 'Server', 'Protocol', '/s', 'p50 us', 'p99 us', 'CPU us', 'x our HTTP binary', 'x Triton, same protocol'],
    rows,
  )
}
