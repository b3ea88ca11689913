/**
 * What gRPC costs beside HTTP: the same predictions over both, in turns, by one generator (h2load of nghttp2, which speaks HTTP/1.1 and HTTP/2),
 * and what either costs beside the library in the process of its caller.
 */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { debianBinary } from '../../scripts/debian-package.ts'
import { INFERENCE } from '../../src/protocol/grpc/proto/inference.ts'
import { encode } from '../../src/protocol/grpc/proto/schema.ts'
import { PREFIX_BYTES, sealMessage } from '../../src/protocol/grpc/message-reader.ts'
import { freePort } from '../../test/fixtures.ts'
import { run } from '../children.ts'
import { CpuWatch, processTree } from '../machine.ts'
import { median, rangeOf } from '../table.ts'
import { bodyOf, CONNECTIONS, note, serve } from './bench.ts'
import type { ModelName, RequestBody } from '../models.ts'
import type { RunningServer } from '../servers.ts'
import type { OperationsBench, Part } from './bench.ts'
import type { Figure } from './figures.ts'

interface Measured {
  readonly perSecond: number
  /** CPU time of the server for each request, microseconds. */
  readonly cpuUs: number
  readonly errors: number
}

interface Side {
  readonly args: readonly string[]
}

const WARM_UP_SECONDS = 3

async function measure(server: RunningServer, { args }: Side, seconds: number): Promise<Measured> {
  const watch = new CpuWatch(processTree(server.pid))
  const printed = await run('h2load', ['-t', '1', '-c', String(CONNECTIONS), '-m', '1', '-D', String(seconds), ...args])
  const { serverMs } = watch.stop()
  const [, perSecond] = /finished in .*?, ([\d.]+) req\/s/.exec(printed) ?? []
  const [, done, succeeded] = /requests: .*? (\d+) done, (\d+) succeeded/.exec(printed) ?? []
  if (perSecond === undefined || done === undefined) throw new Error(`h2load said nothing that can be read:\n${printed}`)
  return { perSecond: Number(perSecond), cpuUs: (serverMs * 1000) / Number(done), errors: Number(done) - Number(succeeded) }
}

/** The request of a model as a message of gRPC. */
async function messageOf(bench: OperationsBench, model: ModelName): Promise<string> {
  const { inputs } = JSON.parse(await readFile(join(bench.models, `${model}.json`), 'utf8')) as {
    inputs: { name: string; datatype: string; shape: number[] }[]
  }
  const { name, datatype, shape } = inputs[0]!
  const request = {
    model_name: model,
    inputs: [{ name, datatype, shape }],
    raw_input_contents: [await readFile(join(bench.models, `${model}.bin`))],
  }
  const file = join(bench.scratch, `${model}.grpc-request`)
  await writeFile(file, sealMessage(encode(INFERENCE, 'ModelInferRequest', request, PREFIX_BYTES)))
  return file
}

function overHttp(server: RunningServer, model: ModelName, { file, headers }: RequestBody): Side {
  const given = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  return { args: ['--h1', '-d', file, ...given, server.url(model)] }
}

function overGrpc(port: number, file: string): Side {
  const headers = ['-H', 'content-type: application/grpc', '-H', 'te: trailers']
  return { args: ['-d', file, ...headers, `http://127.0.0.1:${port}/inference.GRPCInferenceService/ModelInfer`] }
}

async function compare(bench: OperationsBench, model: ModelName): Promise<Figure> {
  await debianBinary('h2load', 'nghttp2-client')
  const port = await freePort()
  await using server = await serve(bench, model, { SLIPWAY_GRPC_PORT: String(port) })
  const body = await bodyOf(bench, model, 'binary')
  const sides = [overGrpc(port, await messageOf(bench, model)), overHttp(server, model, body)] as const
  const found: [Measured[], Measured[]] = [[], []]
  for (const side of sides) await measure(server, side, WARM_UP_SECONDS)
  for (let round = 0; round < bench.rounds; round++)
    for (const which of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const one = await measure(server, sides[which], bench.seconds)
      found[which].push(one)
      note(`grpc ${model} ${round + 1}/${bench.rounds} ${which === 0 ? 'gRPC' : 'HTTP'}: ${describe([one])}`)
    }
  const [ours, theirs] = found
  const ratios = ours.map((one, index) => one.perSecond / theirs[index]!.perSecond)
  return {
    id: `ops.grpc.${model}`,
    what: `${model}, raw tensors, ${CONNECTIONS} connections: req/s over gRPC against HTTP with binary data`,
    value: median(ratios),
    unit: '',
    range: rangeOf(ratios),
    target: { bound: 'min', value: 0.9 },
    errors: [...ours, ...theirs].reduce((sum, { errors }) => sum + errors, 0),
    from: `gRPC ${describe(ours)}, HTTP ${describe(theirs)}`,
  }
}

function describe(loads: readonly Measured[]): string {
  return `${median(loads.map(({ perSecond }) => perSecond)).toFixed(0)} req/s (${median(loads.map(({ cpuUs }) => cpuUs)).toFixed(1)} us of CPU each)`
}

async function byLibrary(bench: OperationsBench, model: ModelName): Promise<number> {
  const built = join(bench.packed, 'dist/index.js')
  const library = existsSync(built) ? built : join(bench.packed, 'src/index.ts')
  const file = (extension: string): string => join(bench.models, model + extension)
  const printed = await run(process.execPath, [
    join(import.meta.dirname, 'library.ts'),
    library,
    file('.onnx'),
    file('.json'),
    file('.bin'),
    String(bench.seconds),
    String(CONNECTIONS),
  ])
  const [, perSecond] = /MEASURED ([\d.]+)/.exec(printed) ?? []
  if (perSecond === undefined) throw new Error(`the library said nothing that can be read:\n${printed}`)
  return Number(perSecond)
}

/** conv over gRPC against the library, each in turn: generator and server share the cores, the library has them alone. */
async function besideLibrary(bench: OperationsBench): Promise<Figure> {
  const port = await freePort()
  await debianBinary('h2load', 'nghttp2-client')
  await using server = await serve(bench, 'conv', { SLIPWAY_GRPC_PORT: String(port) })
  const side = overGrpc(port, await messageOf(bench, 'conv'))
  await measure(server, side, WARM_UP_SECONDS)
  const served: Measured[] = []
  const alone: number[] = []
  for (let round = 0; round < bench.rounds; round++) {
    served.push(await measure(server, side, bench.seconds))
    alone.push(await byLibrary(bench, 'conv'))
    note(`library conv ${round + 1}/${bench.rounds}: ${describe(served.slice(-1))}, library ${alone.at(-1)!.toFixed(0)}`)
  }
  const ratios = served.map(({ perSecond }, index) => perSecond / alone[index]!)
  return {
    id: 'ops.grpc.library',
    what: `conv, raw tensors, ${CONNECTIONS} at a time: req/s over gRPC against the library in the process of its caller`,
    value: median(ratios),
    unit: '',
    range: rangeOf(ratios),
    target: { bound: 'min', value: 0.9 },
    errors: served.reduce((sum, { errors }) => sum + errors, 0),
    from: `gRPC ${describe(served)}, library ${median(alone).toFixed(0)} a second`,
  }
}

export const GRPC: Part[] = (['churn', 'conv'] as const).map((model) => ({
  ids: [`ops.grpc.${model}`],
  measure: async (bench) => [await compare(bench, model)],
}))
GRPC.push({ ids: ['ops.grpc.library'], measure: async (bench) => [await besideLibrary(bench)] })
