import { readFile } from 'node:fs/promises'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { metricsAdapterObjects } from '../../kubernetes/components/metrics-adapter.ts'
import type { Command } from 'commander'
import type { MetricsAdapterObjects } from '../../kubernetes/components/metrics-adapter.ts'
import type { KubernetesObject } from '../../kubernetes/object.ts'

export interface ComponentOptions {
  readonly component?: string
  readonly image?: string
  readonly namespace?: string
  readonly imagePullSecret?: string
  readonly pods: boolean
  readonly controlPlane?: string
  readonly environment?: string
  readonly keySecret?: string
  readonly podsKeySecret?: string
  readonly tlsSecret?: string
  readonly tlsCa?: string
  readonly certManager?: true
}

/** Adds the options of what is rendered beside endpoints. */
export function asksComponent(command: Command): Command {
  return command
    .option('--component <name>', 'instead of endpoints, what they need in the cluster: metrics-adapter')
    .option('--image <reference>', 'image of the component')
    .option('--image-pull-secret <name>', 'Secret for a registry that asks for one; default: none')
    .option('--namespace <name>', 'of the component; default: slipway')
    .option('--no-pods', 'metrics-adapter: leave custom.metrics.k8s.io to another adapter')
    .option(
      '--control-plane <url>',
      'metrics-adapter: serve external.metrics.k8s.io from its windows. argo-rollouts, flagger: see --rollout',
    )
    .option('--environment <name>', 'metrics-adapter: which environment of the control plane; default: its first')
    .option('--key-secret <name>', 'metrics-adapter: Secret whose key `key` has an API key for the control plane')
    .option(
      '--pods-key-secret <name>',
      'metrics-adapter: Secret whose key `key` has an API key (scope metrics) for servers that ask for one',
    )
    .option('--tls-secret <name>', 'metrics-adapter: Secret (kubernetes.io/tls) with its certificate; default: it signs its own')
    .option('--tls-ca <file>', 'metrics-adapter: authority (PEM) of that certificate')
    .option('--cert-manager', 'metrics-adapter: its certificate is made by cert-manager')
}

/** @throws SLW_USAGE */
export async function componentObjects(options: ComponentOptions): Promise<KubernetesObject[]> {
  const { component, image, namespace, imagePullSecret, pods, podsKeySecret, controlPlane, environment, keySecret } = options
  if (component !== 'metrics-adapter') throw new SlipwayError('SLW_USAGE', `--component ${component}: there is metrics-adapter`)
  if (image === undefined) throw new SlipwayError('SLW_USAGE', '--component needs --image, an image whose entry point is slipway')
  if (!pods && controlPlane === undefined)
    throw new SlipwayError('SLW_USAGE', 'nothing is left to serve: without pods, --control-plane says where numbers come from')
  return metricsAdapterObjects({
    image,
    namespace,
    imagePullSecret,
    pods,
    podsKeySecret,
    certificate: await certificateOf(options),
    controlPlane: controlPlane === undefined ? undefined : { url: controlPlane, environment, keySecret },
  })
}

async function certificateOf({ tlsSecret, tlsCa, certManager }: ComponentOptions): Promise<MetricsAdapterObjects['certificate']> {
  if (certManager === true && tlsSecret !== undefined)
    throw new SlipwayError('SLW_USAGE', '--cert-manager and --tls-secret: the certificate comes from one of them')
  if ((tlsSecret === undefined) !== (tlsCa === undefined))
    throw new SlipwayError('SLW_USAGE', '--tls-secret and --tls-ca belong together: the API server checks the one by the other')
  if (certManager === true) return 'cert-manager'
  if (tlsSecret === undefined || tlsCa === undefined) return 'self-signed'
  const caBundle = await readFile(tlsCa).catch((error: unknown) => {
    throw new SlipwayError('SLW_USAGE', `--tls-ca ${tlsCa} cannot be read: ${messageOf(error)}`, { cause: error })
  })
  return { secret: tlsSecret, caBundle: caBundle.toString('base64') }
}
