import { execFile, spawn } from 'node:child_process'
import { openSync, readFileSync } from 'node:fs'
import { Agent, request as ask } from 'node:https'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { debianBinary } from '../../scripts/debian-package.ts'
import { kubernetes } from '../../scripts/kubernetes.ts'
import { authority } from '../certificates.ts'
import { freePort, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** Who may ask the cluster beside its administrator. */
interface User {
  readonly token: string
  readonly name: string
  readonly groups?: readonly string[]
}

interface ClusterOptions {
  /** Whether kube-controller-manager runs, so that Deployments make Pods. Default: true. */
  readonly controllers?: boolean
  /** Further flags of kube-controller-manager, such as `--horizontal-pod-autoscaler-sync-period=1s`. */
  readonly controllerFlags?: readonly string[]
  readonly users?: readonly User[]
}

/** What the API answers. */
export interface ApiAnswer {
  readonly status: number
  readonly body: Record<string, unknown>
}

/** A Kubernetes control plane on loopback; `await using` ends its processes and removes its folder. */
export interface KubernetesCluster extends AsyncDisposable {
  readonly url: string
  /** Folder of the cluster, for files of a test. */
  readonly folder: string
  /** Of the administrator. */
  readonly kubeconfig: string
  /** Certificate of the authority of the API server. */
  readonly authority: string
  /** Authority by which an API server that is aggregated knows that kube-apiserver asks (`--requestheader-client-ca-file`). */
  readonly proxyAuthority: string
  /** @returns the path of a kubeconfig of one of the `users` */
  kubeconfigOf(token: string, namespace?: string): Promise<string>
  /** Asks the API as the administrator. Any status is an answer. */
  request(method: string, path: string, body?: unknown, type?: string): Promise<ApiAnswer>
  /** kubectl as the administrator. @returns its standard output. @throws with `stdout`, `stderr` and `code` */
  kubectl(args: readonly string[], input?: string, environment?: Readonly<Record<string, string>>): Promise<string>
  /** Makes a namespace; `restricted` holds its pods to the restricted pod security standard. */
  namespace(name: string, how?: { readonly restricted?: boolean }): Promise<void>
  /** Installs definitions and waits until their objects can be made. */
  install(definitions: readonly string[]): Promise<void>
  /** What its programs wrote. */
  said(): string
}

/** The controllers that the tests need. */
const CONTROLLERS = [
  'deployment-controller',
  'replicaset-controller',
  'endpointslice-controller',
  'disruption-controller',
  'horizontal-pod-autoscaler-controller',
  'garbage-collector-controller',
  'namespace-controller',
  'serviceaccount-controller',
  'clusterrole-aggregation-controller',
]

const ADMINISTRATOR = 'a-token-of-the-administrator'

/**
 * Starts etcd, kube-apiserver and kube-controller-manager. An API server that is aggregated is reached on loopback by an APIService whose
 * Service has the type ExternalName and `externalName: localhost`, and names its port in `spec.service.port`.
 */
export async function startKubernetes(options: ClusterOptions = {}): Promise<KubernetesCluster> {
  await using stack = new AsyncDisposableStack()
  const [etcd, program, kubectl] = await Promise.all([
    debianBinary('etcd', 'etcd-server'),
    kubernetes(),
    debianBinary('kubectl', 'kubernetes-client'),
  ])
  const folder = stack.use(await temporaryFolder())
  const log = join(folder.path, 'said.log')
  const start = (command: string, args: readonly string[]) => stack.use(startProgram(command, args, log))

  const [clients, peers] = [await freePort(), await freePort()]
  const store = `http://127.0.0.1:${clients}`
  const peer = `http://127.0.0.1:${peers}`
  start(
    etcd,
    flags({
      'data-dir': join(folder.path, 'etcd'),
      'listen-client-urls': store,
      'advertise-client-urls': store,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': `default=${peer}`,
      logger: 'zap',
    }),
  )

  const own = await authority(folder.path)
  const proxies = await authority(folder.path, 'proxies')
  const serving = await own.issue('kube-apiserver')
  const proxy = await proxies.issue('front-proxy')
  const users = [{ token: ADMINISTRATOR, name: 'administrator', groups: ['system:masters'] }, ...(options.users ?? [])]
  const tokens = users.map(({ token, name, groups = [] }) => `${token},${name},${name},"${groups.join(',')}"`)
  const port = await freePort()
  const url = `https://127.0.0.1:${port}`
  const asked = flags({
    'etcd-servers': store,
    'bind-address': '127.0.0.1',
    'secure-port': String(port),
    'cert-dir': folder.path,
    // An address for documentation (RFC 5737): loopback is refused, and a machine without a network has no other.
    'advertise-address': '192.0.2.1',
    'tls-cert-file': serving.cert,
    'tls-private-key-file': serving.key,
    'service-account-issuer': 'https://kubernetes.default.svc',
    'service-account-key-file': serving.cert,
    'service-account-signing-key-file': serving.key,
    'service-cluster-ip-range': '10.96.0.0/16',
    'token-auth-file': await folder.write('tokens.csv', tokens.join('\n')),
    'authorization-mode': 'RBAC',
    // Pods of the tests have no token of a service account to mount.
    'disable-admission-plugins': 'ServiceAccount',
    'feature-gates': 'ImageVolume=true',
    // Who may be privileged is what pod security says, as in clusters.
    'allow-privileged': 'true',
    'requestheader-client-ca-file': proxies.cert,
    'requestheader-allowed-names': 'front-proxy',
    'requestheader-username-headers': 'X-Remote-User',
    'requestheader-group-headers': 'X-Remote-Group',
    'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
    'proxy-client-cert-file': proxy.cert,
    'proxy-client-key-file': proxy.key,
  })
  const apiServer = start(program, ['kube-apiserver', ...asked])

  const agent = new Agent({ ca: readFileSync(own.cert), keepAlive: true })
  stack.defer(() => agent.destroy())
  const request: KubernetesCluster['request'] = (method, path, body, type = 'application/json') =>
    answerOf(agent, new URL(path, url), method, body === undefined ? undefined : { type, text: JSON.stringify(body) })
  await until(
    async () => {
      if (apiServer.ended()) throw new Error(`kube-apiserver ended:\n${lastOf(log)}`)
      return (await request('GET', '/readyz').catch(() => undefined))?.status === 200
    },
    'kube-apiserver is ready',
    120_000,
  )

  const kubeconfigOf: KubernetesCluster['kubeconfigOf'] = (token, namespace = 'default') =>
    folder.write(`kubeconfig-${token}-${namespace}`, kubeconfigText({ url, authority: own.cert, token, namespace }))
  const kubeconfig = await kubeconfigOf(ADMINISTRATOR)
  if (options.controllers !== false)
    start(program, [
      'kube-controller-manager',
      ...flags({ kubeconfig, controllers: CONTROLLERS.join(','), 'secure-port': '0', 'leader-elect': 'false' }),
      ...(options.controllerFlags ?? []),
    ])

  const run: KubernetesCluster['kubectl'] = async (args, input = '', environment = {}) => {
    const env = { ...process.env, ...environment, KUBECONFIG: kubeconfig, HOME: folder.path }
    const running = promisify(execFile)(kubectl, args, { env, maxBuffer: 64 << 20 })
    running.child.stdin?.end(input)
    return (await running).stdout
  }
  const owned = stack.move()
  return {
    url,
    folder: folder.path,
    kubeconfig,
    authority: own.cert,
    proxyAuthority: proxies.cert,
    kubeconfigOf,
    request,
    kubectl: run,
    async namespace(name, { restricted = false } = {}) {
      const labels = restricted ? { 'pod-security.kubernetes.io/enforce': 'restricted' } : {}
      const { status, body } = await request('POST', '/api/v1/namespaces', { metadata: { name, labels } })
      if (status !== 201) throw new Error(`the namespace ${name} was not made: ${JSON.stringify(body)}`)
    },
    async install(definitions) {
      await run(['apply', '--server-side', ...definitions.flatMap((file) => ['-f', file])])
      await run(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s'])
    },
    said: () => readFileSync(log, 'utf8'),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function kubeconfigText(of: {
  readonly url: string
  readonly authority: string
  readonly token: string
  readonly namespace: string
}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: of.url, 'certificate-authority': of.authority } }],
    users: [{ name: 'test', user: { token: of.token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace: of.namespace } }],
    'current-context': 'test',
  })
}

function flags(all: Readonly<Record<string, string>>): string[] {
  return Object.entries(all).map(([name, value]) => `--${name}=${value}`)
}

/** Runs until it is disposed of: SIGTERM, and SIGKILL where that is not enough. */
function startProgram(command: string, args: readonly string[], log: string): AsyncDisposable & { ended(): boolean } {
  const file = openSync(log, 'a')
  // A test run that is killed disposes of nothing.
  const child = spawn('setpriv', ['--pdeathsig', 'SIGKILL', command, ...args], { stdio: ['ignore', file, file] })
  const exit = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  return {
    ended: () => child.exitCode !== null || child.signalCode !== null,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), 3000)
      await exit
      clearTimeout(late)
    },
  }
}

function lastOf(log: string): string {
  return readFileSync(log, 'utf8').split('\n').slice(-30).join('\n')
}

function answerOf(
  agent: Agent,
  url: URL,
  method: string,
  body: { readonly type: string; readonly text: string } | undefined,
): Promise<ApiAnswer> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${ADMINISTRATOR}`,
      // Node itself frames the body of a DELETE in no way.
      ...(body !== undefined && { 'content-type': body.type, 'content-length': Buffer.byteLength(body.text) }),
    }
    const asked = ask(url, { method, agent, headers, timeout: 30_000 }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.once('error', reject)
      response.once('end', () => {
        const text = Buffer.concat(parts).toString('utf8')
        const json = response.headers['content-type']?.startsWith('application/json') === true
        resolve({ status: response.statusCode ?? 0, body: json ? (JSON.parse(text) as Record<string, unknown>) : { text } })
      })
    })
    asked.once('error', reject)
    asked.once('timeout', () => asked.destroy(new Error(`${url.href} did not answer`)))
    asked.end(body?.text)
  })
}
