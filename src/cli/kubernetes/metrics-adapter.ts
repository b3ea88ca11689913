import { openEndpointNumbers } from '../../cluster/metrics/endpoint-numbers.ts'
import { frontProxyFrom, frontProxyOf } from '../../cluster/metrics/front-proxy.ts'
import { openReader } from '../../cluster/metrics/kubernetes-reader.ts'
import { startMetricsAdapter } from '../../cluster/metrics/metrics-adapter.ts'
import { METRIC_GROUPS } from '../../cluster/metrics/metrics-api.ts'
import { openPodNumbers } from '../../cluster/metrics/pod-numbers.ts'
import { selfSigned } from '../../cluster/metrics/self-signed.ts'
import { systemClock } from '../../core/clock.ts'
import { SlipwayError } from '../../core/errors.ts'
import { parseDurationMs } from '../../core/units.ts'
import { Certificates } from '../../security/certificates.ts'
import { openLogger, LogOutput } from '../../server/log-output.ts'
import { readKey, trust } from '../credentials.ts'
import { print } from '../output.ts'
import type { Command } from 'commander'
import type { KubernetesReader } from '../../cluster/metrics/kubernetes-reader.ts'
import type { AdapterCertificate } from '../../cluster/metrics/metrics-adapter.ts'
import type { MetricSources } from '../../cluster/metrics/metrics-api.ts'
import type { Logger } from '../../core/log.ts'

interface AdapterOptions {
  readonly host: string
  readonly port: string
  readonly pods: boolean
  readonly namespace?: string
  readonly selector: string
  readonly interval: string
  readonly window: string
  readonly podsKeyFile?: string
  readonly controlPlane?: string
  readonly environment?: string
  readonly keyFile?: string
  readonly ca?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly serviceName: string
  readonly frontProxyCa?: string
  readonly frontProxyName?: string[]
  readonly kubeApi?: string
  readonly kubeTokenFile?: string
  readonly kubeCa?: string
}

export function define(command: Command): void {
  command
    .option('--no-pods', 'leave custom.metrics.k8s.io (numbers of pods) to another adapter')
    .option('--namespace <name>', 'whose pods are looked at; default: all')
    .option('--selector <labels>', 'by which pods of servers are found', 'app.kubernetes.io/name=slipway')
    .option('--pods-key-file <file>', 'file with the key that servers ask for, for their metrics; default: none')
    .option('--control-plane <url>', 'serve external.metrics.k8s.io (numbers of endpoints) from its windows; default: not served')
    .option('--environment <name>', 'which environment of the control plane; default: its first')
    .option('--key-file <file>', 'file with an API key for the control plane; read again when it changes')
    .option('--ca <file>', 'authorities (PEM) that are trusted beside those of this machine')
    .option('--interval <duration>', 'pause between two looks at a pod, or at the control plane', '5s')
    .option('--window <duration>', 'time over which rates and averages are taken; 10s steps with a control plane', '30s')
    .option('--host <host>', 'address to listen on', '0.0.0.0')
    .option('--port <n>', 'port to listen on; 0 takes a free one', '6443')
    .option('--tls-cert <file>', 'certificate (PEM); read again when it changes. Default: one that signs itself')
    .option('--tls-key <file>', 'its key (PEM)')
    .option('--service-name <name>', 'host name in the certificate that signs itself', 'slipway-metrics-adapter.slipway.svc')
    .option('--front-proxy-ca <file>', 'authority of the API server as a front proxy; default: as the cluster says')
    .option('--front-proxy-name <name...>', 'common names of its certificate; default: any, with --front-proxy-ca')
    .option('--kube-api <url>', 'API server to read; default: that of the cluster that this runs in')
    .option('--kube-token-file <file>', 'token for it; default: that of the service account')
    .option('--kube-ca <file>', 'its authority (PEM); default: that of the service account')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway metrics-adapter\n  slipway metrics-adapter --no-pods --control-plane https://slipway.example.com --key-file /run/key',
    )
    .action(adapt)
}

async function adapt(options: AdapterOptions): Promise<void> {
  requireSources(options)
  const log = openLogger(new LogOutput(undefined), process.stderr.isTTY ? 'warn' : 'info')
  await trust(options.ca)
  const { promise: stopped, resolve: stop } = Promise.withResolvers<NodeJS.Signals>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop(signal))
  await using opened = new AsyncDisposableStack()
  const { frontProxyCa, frontProxyName = [], kubeApi: url, kubeTokenFile: tokenFile, kubeCa: caFile } = options
  const kubernetes =
    options.pods || frontProxyCa === undefined ? opened.use(await openReader({ url, tokenFile, caFile }, process.env)) : undefined
  const sources = await openSources(options, { kubernetes, opened, log })
  const adapter = opened.use(
    await startMetricsAdapter({
      host: options.host,
      port: portOf(options.port),
      certificate: await certificateOf(options, opened, log),
      frontProxy: (signal) =>
        frontProxyCa === undefined ? frontProxyOf(kubernetes!, signal) : frontProxyFrom(frontProxyCa, frontProxyName),
      sources,
      log,
    }),
  )
  print(`the metrics API is at ${adapter.url}: ${servedGroups(sources)}`)
  log.info({ signal: await stopped }, 'the metrics adapter stops')
}

/** @throws SLW_USAGE */
function requireSources({ pods, controlPlane, podsKeyFile, namespace }: AdapterOptions): void {
  if (!pods && controlPlane === undefined)
    throw new SlipwayError('SLW_USAGE', 'nothing is left to serve: without pods, --control-plane says where numbers come from')
  if (podsKeyFile !== undefined && namespace === undefined)
    throw new SlipwayError('SLW_USAGE', '--pods-key-file needs --namespace: whoever may make a pod in any other would be told the key')
  if (controlPlane !== undefined && !URL.canParse(controlPlane))
    throw new SlipwayError('SLW_USAGE', `--control-plane ${controlPlane}: expected an address such as https://slipway.example.com`)
}

function servedGroups({ custom, external }: MetricSources): string {
  const served = { 'custom.metrics.k8s.io': custom, 'external.metrics.k8s.io': external }
  return Object.entries(METRIC_GROUPS)
    .filter(([group]) => served[group as keyof typeof served] !== undefined)
    .map(([group, versions]) => `${group} (${versions.join(', ')})`)
    .join(', ')
}

async function openSources(
  options: AdapterOptions,
  given: { readonly kubernetes: KubernetesReader | undefined; readonly opened: AsyncDisposableStack; readonly log: Logger },
): Promise<MetricSources> {
  const { controlPlane, environment, keyFile, namespace, selector, podsKeyFile } = options
  const { kubernetes, opened, log } = given
  const intervalMs = within('--interval', options.interval, 500, 60_000)
  const windowMs = within('--window', options.window, Math.max(2 * intervalMs, 1000), 600_000)
  const often = { intervalMs, clock: systemClock, log }
  const custom =
    options.pods && kubernetes !== undefined
      ? opened.use(
          openPodNumbers({
            ...often,
            kubernetes,
            namespace,
            selector,
            windowMs,
            key: podsKeyFile === undefined ? undefined : await readKey(podsKeyFile, '--pods-key-file'),
          }),
        )
      : undefined
  const external =
    controlPlane === undefined
      ? undefined
      : opened.use(
          openEndpointNumbers({
            ...often,
            url: controlPlane,
            environment,
            key: keyFile === undefined ? undefined : () => readKey(keyFile),
            // Windows are cut every ten seconds.
            windowMs: Math.max(10_000, Math.round(windowMs / 10_000) * 10_000),
          }),
        )
  return { custom, external }
}

/** Days for which a certificate that signs itself holds. Pods are replaced more often. */
const SELF_SIGNED_DAYS = 3650

async function certificateOf(
  { tlsCert: cert, tlsKey: key, serviceName }: AdapterOptions,
  opened: AsyncDisposableStack,
  log: Logger,
): Promise<AdapterCertificate> {
  if ((cert === undefined) !== (key === undefined)) throw new SlipwayError('SLW_USAGE', '--tls-cert and --tls-key belong together')
  if (cert === undefined || key === undefined) {
    const pair = selfSigned([serviceName, 'localhost'], SELF_SIGNED_DAYS, Date.now())
    log.warn({}, 'the certificate signs itself: the APIServices need insecureSkipTLSVerify, or --tls-cert and --tls-key are given')
    return { pair, onChange: () => {} }
  }
  const files = opened.use(await Certificates.open({ cert, key, clientCa: undefined }, log))
  return {
    get pair() {
      return { cert: String(files.context.cert), key: String(files.context.key) }
    },
    onChange: (listener) => files.onChange(listener),
  }
}

function within(flag: string, text: string, leastMs: number, mostMs: number): number {
  const ms = parseDurationMs(text, flag)
  if (ms >= leastMs && ms <= mostMs) return ms
  throw new SlipwayError('SLW_USAGE', `${flag} ${text}: expected ${leastMs} ms to ${mostMs / 1000} s`)
}

function portOf(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new SlipwayError('SLW_USAGE', `--port ${text}: expected a port, 0 to 65535`)
}
