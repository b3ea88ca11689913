import { formatMs } from '../core/units.ts'
import { predictUs } from '../engine/cost.ts'
import { curlLine } from '../protocol/http/examples.ts'
import { describeSpec } from '../serving/variant.ts'
import type { DataPlane } from '../serving/data-plane.ts'

/** Summary of a served model, for people. Plain text and numbers: it crosses processes. */
export interface ServedModel {
  readonly endpoint: string
  readonly version: string
  readonly loadMs: number
  readonly inputs: string
  readonly outputs: string
  /** Instances, threads, batches and cost, in words. */
  readonly runs: string
  /** A command that sends it an example. */
  readonly curl: string
}

/** @param keyed whether callers need an API key: the command then shows its place */
export function describeServed(dataPlane: DataPlane, url: string, keyed: boolean): ServedModel[] {
  const models: ServedModel[] = []
  for (const { loaded, subject } of dataPlane.variants()) {
    if (loaded === undefined) continue
    const { serving, signature, probe, times } = loaded
    const { instances, isolation, threads, maxBatchSize } = serving
    const places = `${instances} ${isolation}${instances === 1 ? '' : isolation === 'process' ? 'es' : 's'}`
    const batches = probe.batchable ? `batches up to ${maxBatchSize}` : `not batched: ${probe.reason}`
    const cost = probe.cost === undefined ? '' : `, about ${formatMs(predictUs(probe.cost, 1) / 1000)} a row`
    models.push({
      endpoint: subject.endpoint,
      version: subject.version,
      loadMs: times.loadMs + times.warmUpMs,
      inputs:
        signature.features === undefined
          ? signature.inputs.map(describeSpec).join(', ')
          : signature.features.map((feature) => `${feature.spec.name} (${feature.spec.type})`).join(', '),
      outputs: `${signature.outputs.map(describeSpec).join(', ')}  as ${signature.answer.task}`,
      runs: `${places} x ${threads} thread${threads === 1 ? '' : 's'} on CPU, ${batches}${cost}`,
      curl: curlLine(url, subject.endpoint, signature, keyed ? '"authorization: Bearer $KEY"' : undefined),
    })
  }
  return models
}
