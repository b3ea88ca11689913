import { usableCores } from '../../core/cores.ts'
import { formatBytes, formatMs } from '../../core/units.ts'
import { predictUs } from '../../engine/cost.ts'
import { loadModel } from '../../library/load-model.ts'
import { packageDigest } from '../../model/package.ts'
import { exampleRow } from '../../signature/example.ts'
import { describeSpec } from '../../serving/variant.ts'
import { toJson } from '../../tensor/json-writer.ts'
import { inspectServer } from '../server/inspect-server.ts'
import { serverKey, withServerCredentials } from '../server/server-client.ts'
import { print, table } from '../output.ts'
import type { Command } from 'commander'
import type { Model } from '../../library/load-model.ts'
import type { Cost } from '../../engine/cost.ts'
import type { ServerCredentials } from '../server/server-client.ts'

export function define(command: Command): void {
  withServerCredentials(command)
    .argument('<model>', 'model file or folder, or URL of a running server (http://127.0.0.1:8470)')
    .option('--sandbox-python <path>', 'interpreter with scikit-learn, in which models that are pickles run confined')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nLoads the model and runs it a few times, as a server would. Of a server it shows the health: what happened last to each\ninstance, when, how often, and what to do.',
    )
    .action(async (path: string, options: ServerCredentials & { json?: boolean; sandboxPython?: string }) => {
      if (/^https?:\/\//.test(path)) {
        await inspectServer(path, { apiKey: await serverKey(options), ...(options.json === true && { json: true }) })
        return
      }
      await using model = await loadModel(path, { instances: 1, sandboxPython: options.sandboxPython })
      const report = await inspect(model)
      print(options.json === true ? toJson(report) : text(report))
    })
}

interface Report {
  readonly [section: string]: unknown
  readonly advice: readonly string[]
}

async function inspect(model: Model): Promise<Report> {
  const { package: source, probe, times } = model.details
  const { file, modelBytes, modelPath } = source
  const { signature } = model
  return {
    name: model.name,
    version: model.version,
    file: modelPath,
    size: formatBytes(modelBytes),
    digest: await packageDigest(source),
    ...file.about,
    inputs: signature.inputs.map(describeSpec),
    outputs: signature.outputs.map(describeSpec),
    features: signature.features?.map(
      ({ spec }) =>
        `${spec.name} (${spec.type}${spec.categories === undefined ? '' : `: ${spec.categories.join(', ')}`}${spec.minimum === undefined && spec.maximum === undefined ? '' : ` ${spec.minimum ?? ''}..${spec.maximum ?? ''}`})`,
    ),
    answer: signature.answer.task,
    labels: 'labels' in signature.answer ? signature.answer.labels : undefined,
    changes: file.rewrite.changes.length === 0 ? undefined : file.rewrite.changes,
    batchable: probe.batchable ? `yes: ${probe.reason}` : `no: ${probe.reason}`,
    cost: probe.cost === undefined ? 'unknown' : `${Math.round(probe.cost.fixedUs)} us + ${probe.cost.perRowUs.toFixed(1)} us a row`,
    load: formatMs(times.loadMs + times.warmUpMs),
    example: signature.image === undefined ? exampleRow(signature) : undefined,
    advice: advise(probe.cost, probe.batchable),
  }
}

/** Advice for this machine, from the measured cost. */
function advise(cost: Cost | undefined, batchable: boolean): string[] {
  if (cost === undefined) return ['Give examples in slipway.yaml, so that the model can be measured.']
  const cores = usableCores().count
  const single = predictUs(cost, 1)
  const advice: string[] = []
  advice.push(
    single > 20_000 && cores > 1
      ? `A run takes ${formatMs(single / 1000)}: for latency try threads: ${cores} with instances: 1; for throughput keep instances: ${cores}, threads: 1.`
      : `instances: ${cores}, threads: 1 (the default here) suits runs of ${formatMs(single / 1000)}.`,
  )
  if (batchable) {
    const gain = (32 * single) / predictUs(cost, 32)
    advice.push(
      gain > 1.3
        ? `Batching pays: 32 rows together take ${formatMs(predictUs(cost, 32) / 1000)}, ${gain.toFixed(1)} times less than one by one.`
        : 'Batching gains little: the cost is in the rows.',
    )
  }
  return advice
}

function text(report: Report): string {
  const rows = Object.entries(report)
    .filter(([, value]) => value !== undefined)
    .flatMap(([name, value]): string[][] => {
      if (Array.isArray(value))
        return value.map((line, index) => [index === 0 ? name : '', typeof line === 'object' ? toJson(line) : String(line)])
      return [[name, value !== null && typeof value === 'object' ? toJson(value) : String(value)]]
    })
  return table(rows)
}
