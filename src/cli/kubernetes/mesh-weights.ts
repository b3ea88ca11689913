import { followWeights } from '../../cluster/weights.ts'
import { SlipwayError } from '../../core/errors.ts'
import { parseDurationMs } from '../../core/units.ts'
import { asksRegistry, clientOf, part } from '../control-plane/registry-command.ts'
import { note } from '../output.ts'
import { clusterOf, setsOf } from './endpoints.ts'
import type { Command } from 'commander'
import type { EndpointAnswer } from '../../contract/delivery-api.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

interface MeshWeightsOptions extends RegistryOptions {
  readonly endpoint: string
  readonly interval: string
  readonly kubeconfig?: string
  readonly kubeContext?: string
  readonly namespace?: string
}

/** Faster than this the API server is not asked. */
const INTERVAL_MIN_MS = 200

export function define(command: Command): void {
  asksRegistry(command)
    .requiredOption('--endpoint <name>', 'whose routing is followed')
    .option('--interval <duration>', 'between two looks, which is also the fastest that weights move', '2s')
    .option('--kube-context <name>', 'context of the kubeconfig; default: the current one')
    .option('--kubeconfig <file>', 'default: KUBECONFIG, else ~/.kube/config, else the service account of the pod')
    .option('--namespace <name>', 'of the endpoint; default: that of the context')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway mesh-weights --endpoint churn --namespace prod\n\nThe weights of its HTTPRoutes and VirtualServices follow the routing that the control plane has. A variant gets no more than it has\nbefore one of its pods is available, and while the control plane cannot be reached the weights stay as they are.',
    )
    .action(meshWeights)
}

async function meshWeights(options: MeshWeightsOptions): Promise<void> {
  const { endpoint, kubeContext, kubeconfig, namespace } = options
  const intervalMs = parseDurationMs(options.interval, '--interval')
  if (intervalMs < INTERVAL_MIN_MS)
    throw new SlipwayError('SLW_USAGE', `--interval ${options.interval}: expected ${INTERVAL_MIN_MS}ms or more`)
  const client = await clientOf(options)
  const where = {
    ...(kubeconfig !== undefined && { kubeconfig }),
    ...(kubeContext !== undefined && { context: kubeContext }),
    ...(namespace !== undefined && { namespace }),
  }
  await using cluster = await clusterOf(where)
  const [set] = await setsOf([endpoint], where, cluster)
  if (set === undefined) return
  const ended = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ended.abort())
  note(`the weights of ${endpoint} in namespace ${set.namespace} follow ${client.target.url}`)
  await followWeights(cluster, set, {
    read: async (signal) => {
      const { status } = await client.ask<EndpointAnswer>(`/endpoints/${part(endpoint)}`, { signal })
      return status.routing.weights
    },
    intervalMs,
    signal: ended.signal,
    told: note,
  })
}
