/** The metrics adapter: the HTTPS server of the metrics API, for kube-apiserver and the probes of its pod. */
import { once } from 'node:events'
import { createServer } from 'node:https'
import { ERRORS, messageOf, SlipwayError, toSlipwayError } from '../../core/errors.ts'
import { answerMetrics } from './metrics-api.ts'
import { every } from './every.ts'
import { userOf } from './front-proxy.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Logger } from '../../core/log.ts'
import type { FrontProxy } from './front-proxy.ts'
import type { MetricSources } from './metrics-api.ts'

/** A certificate that may change while the adapter runs. */
export interface AdapterCertificate {
  readonly pair: { readonly cert: string; readonly key: string }
  /** Calls back whenever there is another. */
  onChange(listener: () => void): void
}

export interface MetricsAdapterOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly certificate: AdapterCertificate
  /** Read at the start, and again every minute: authorities are exchanged. */
  readonly frontProxy: (signal: AbortSignal) => Promise<FrontProxy>
  readonly sources: MetricSources
  readonly log: Logger
}

export interface MetricsAdapter extends AsyncDisposable {
  readonly url: string
}

const FRONT_PROXY_MS = 60_000
const CONNECTIONS_MAX = 1000
/** Time that answers in flight have at the end. */
const CLOSE_MS = 3000

/** @throws SLW_PORT_IN_USE, and what reading the front proxy throws */
export async function startMetricsAdapter(options: MetricsAdapterOptions): Promise<MetricsAdapter> {
  const { host, port, certificate, sources, log } = options
  await using opened = new AsyncDisposableStack()
  let proxy = await options.frontProxy(AbortSignal.timeout(30_000))
  const contextOf = () => ({ ...certificate.pair, ca: proxy.ca, minVersion: 'TLSv1.2' as const })
  const server = createServer(
    {
      ...contextOf(),
      requestCert: true,
      rejectUnauthorized: false,
      requestTimeout: 10_000,
      headersTimeout: 10_000,
      handshakeTimeout: 10_000,
    },
    (request, response) => {
      const { status, body } = answerOf(request, () => proxy, sources)
      send(response, status, body)
    },
  )
  server.maxConnections = CONNECTIONS_MAX
  certificate.onChange(() => server.setSecureContext(contextOf()))
  opened.use(
    every(FRONT_PROXY_MS, async (signal) => {
      try {
        const found = await options.frontProxy(signal)
        if (JSON.stringify(found) === JSON.stringify(proxy)) return
        proxy = found
        server.setSecureContext(contextOf())
        log.info({}, 'the authority of the API server is another one')
      } catch (error) {
        if (!signal.aborted) log.warn({}, `going on with the known authority of the API server: ${messageOf(error)}`)
      }
    }),
  )
  server.listen(port, host)
  await once(server, 'listening').catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EADDRINUSE' ? new SlipwayError('SLW_PORT_IN_USE', `port ${port} of ${host} is taken`, { cause: error }) : error
  })
  server.on('error', (error) => log.error({}, `the metrics adapter: ${messageOf(error)}`))
  opened.defer(async () => {
    const closed = once(server, 'close')
    server.close()
    server.closeIdleConnections()
    const late = setTimeout(() => server.closeAllConnections(), CLOSE_MS)
    await closed
    clearTimeout(late)
  })
  const owned = opened.move()
  const { port: taken } = server.address() as AddressInfo
  return {
    url: `https://${host.includes(':') ? `[${host}]` : host}:${taken}`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

interface Answer {
  readonly status: number
  readonly body: object
}

function answerOf(request: IncomingMessage, proxy: () => FrontProxy, sources: MetricSources): Answer {
  try {
    const url = new URL(request.url ?? '/', 'https://adapter')
    if (request.method !== 'GET' && request.method !== 'HEAD')
      throw new SlipwayError('SLW_METHOD_NOT_ALLOWED', 'the metrics API is read, and takes GET alone')
    if (['/healthz', '/livez'].includes(url.pathname)) return { status: 200, body: { live: true } }
    if (url.pathname === '/readyz') return readiness(sources)
    userOf(proxy(), request)
    return { status: 200, body: answerMetrics(sources, url) }
  } catch (error) {
    return statusOf(error)
  }
}

/** Ready once each source was read. It stays so: an aggregated API that is away disturbs more than who scales by it. */
function readiness({ custom, external }: MetricSources): Answer {
  const reason = custom?.waitsFor ?? external?.waitsFor
  return reason === undefined ? { status: 200, body: { ready: true } } : { status: 503, body: { ready: false, reason } }
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  404: 'NotFound',
  405: 'MethodNotAllowed',
}

/** An error as Kubernetes has it (metav1.Status). */
function statusOf(error: unknown): Answer {
  const { code, message } = toSlipwayError(error)
  const status = ERRORS[code].http
  return {
    status,
    body: {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason: REASONS[status] ?? 'InternalError',
      code: status,
    },
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  const text = Buffer.from(JSON.stringify(body))
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': text.length, 'cache-control': 'no-cache, private' })
  response.end(text)
}
