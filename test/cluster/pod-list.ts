import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Authority } from '../certificates.ts'

/** A pod as the API of Kubernetes lists it, as far as the metrics adapter reads it. */
export interface ListedPod {
  readonly name: string
  readonly namespace?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly port: number
  readonly address?: string
  readonly phase?: string
  readonly deleted?: boolean
}

/** The two routes of kube-apiserver that the metrics adapter reads; how it does with a real one is told by the tests of the cluster tier. */
export interface PodList extends AsyncDisposable {
  readonly url: string
  pods: readonly ListedPod[]
  /** Status of its answers. Default: 200. */
  status: number
  /** `extension-apiserver-authentication`. */
  frontProxy: Readonly<Record<string, string>>
  /** Of the adapter, so that it reads this. */
  flags(folder: string): Promise<string[]>
}

const TOKEN = 'a-token-of-a-service-account'
/** Pods in one answer, so that there are several. */
const PAGE = 2

export async function podList(authority: Authority): Promise<PodList> {
  const { cert, key } = await authority.issue('pod-list')
  const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
    const { pathname, searchParams } = new URL(request.url!, 'https://list')
    const answer = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    }
    if (request.headers.authorization !== `Bearer ${TOKEN}`) answer(401, { kind: 'Status', message: 'Unauthorized' })
    else if (list.status !== 200) answer(list.status, { kind: 'Status', message: 'pods is forbidden' })
    else if (pathname.endsWith('/extension-apiserver-authentication')) answer(200, { data: list.frontProxy })
    else if (pathname === '/api/v1/pods' && searchParams.get('labelSelector') === 'app.kubernetes.io/name=slipway') {
      const from = Number(searchParams.get('continue') ?? 0)
      const more = from + PAGE < list.pods.length ? { continue: String(from + PAGE) } : {}
      answer(200, { kind: 'PodList', metadata: more, items: list.pods.slice(from, from + PAGE).map(podOf) })
    } else answer(404, { kind: 'Status', message: `nothing is at ${pathname}` })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const list: PodList = {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    pods: [],
    status: 200,
    frontProxy: {},
    async flags(folder) {
      await writeFile(`${folder}/token`, TOKEN)
      return ['--kube-api', list.url, '--kube-token-file', `${folder}/token`, '--kube-ca', authority.cert]
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return list
}

function podOf({
  name,
  namespace = 'prod',
  labels = {},
  port,
  address = '127.0.0.1',
  phase = 'Running',
  deleted = false,
}: ListedPod): object {
  return {
    metadata: {
      uid: `uid-of-${namespace}-${name}`,
      namespace,
      name,
      labels,
      ...(deleted && { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    },
    spec: {
      containers: [
        {
          ports: [
            { name: 'metrics', containerPort: 1 },
            { name: 'http', containerPort: port },
          ],
        },
      ],
    },
    status: { phase, podIP: address },
  }
}
