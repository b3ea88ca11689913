import { adviceFor } from '../../serving/instance-advice.ts'
import type { DataPlane } from '../../serving/data-plane.ts'
import type { Variant, VariantStatus } from '../../serving/variant.ts'
import type { Endpoint } from '../../serving/endpoint.ts'
import type { Route } from './routes.ts'

export interface HealthOptions {
  /** Whether every model counts for readiness, also one that was broken at start; otherwise those that loaded at start. */
  readonly strict: boolean
  /** State of the source of models: folders, or a control plane. */
  readonly source?: (() => SourceHealth | Promise<SourceHealth | undefined>) | undefined
}

/** The state of the source, as health shows it. */
export interface SourceHealth {
  readonly following?: FollowingHealth | undefined
  /** Entries of the folders of models that are not served. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[]
}

/** The state of following, as health shows it. */
export interface FollowingHealth {
  readonly staleSeconds: number
  readonly trouble: string | undefined
  readonly endpoints: readonly { readonly name: string; readonly revision: number; readonly versions: readonly object[] }[]
}

/** Live: the process answers. Ready: it should get traffic. The two are never mixed: a busy or draining server is live. */
export function healthRoutes(dataPlane: DataPlane, options: HealthOptions): Route[] {
  const live: Route['handle'] = (exchange) => exchange.json(200, '{"live":true}')
  const ready: Route['handle'] = (exchange) => {
    const reason = notReadyReason(dataPlane, options)
    exchange.json(
      reason === undefined ? 200 : 503,
      JSON.stringify({ ready: reason === undefined, ...(reason !== undefined && { reason }) }),
    )
  }
  return [
    { method: 'GET', path: '/v2/health/live', access: 'open', handle: live },
    { method: 'GET', path: '/v2/health/ready', access: 'open', handle: ready },
    { method: 'GET', path: '/ready', access: 'open', handle: ready },
    {
      method: 'GET',
      path: '/health',
      access: 'open',
      handle: async (exchange) => exchange.json(200, JSON.stringify(health(dataPlane, options, await options.source?.()))),
    },
  ]
}

/** Reason why the server should get no traffic; undefined when it should. */
export function notReadyReason(dataPlane: DataPlane, options: HealthOptions): string | undefined {
  if (dataPlane.draining) return 'the server is shutting down'
  // A model that came later is no reason to take the others out of traffic while it loads.
  const variants = [...dataPlane.variants()].filter((variant) => !isLoading(variant) || !dataPlane.endpoint(variant.subject.endpoint).late)
  if (variants.length === 0) return 'no model is served yet'
  const loading = variants.find(isLoading)
  if (loading !== undefined) return `model "${loading.subject.endpoint}" version ${loading.subject.version} is ${loading.phase}`
  const counted = options.strict ? variants : variants.filter((variant) => variant.phase !== 'failed')
  if (counted.length === 0) return `no model could be loaded: ${variants[0]?.reason}`
  const down = counted.find((variant) => !variant.ready)
  return down === undefined ? undefined : `model "${down.subject.endpoint}" version ${down.subject.version}: ${down.reason}`
}

/** Whether a variant is loaded for the first time. One that is loaded again for a request counts as ready. */
function isLoading(variant: Variant): boolean {
  return (variant.phase === 'waiting' || variant.phase === 'loading') && !variant.onDemand
}

function health(dataPlane: DataPlane, options: HealthOptions, source: SourceHealth | undefined): object {
  const variants = [...dataPlane.variants()]
  const reason = notReadyReason(dataPlane, options)
  const allReady = variants.every((variant) => variant.ready)
  return {
    status: reason !== undefined ? 'unavailable' : allReady ? 'ok' : 'degraded',
    ...(reason !== undefined && { reason }),
    model_loaded: variants.some((variant) => variant.ready),
    models: variants.map((variant) => modelHealth(variant, dataPlane.endpoint(variant.subject.endpoint))),
    ...(source !== undefined && source.skipped.length > 0 && { skipped: source.skipped }),
    ...followingHealth(source?.following),
  }
}

function followingHealth(following: FollowingHealth | undefined): object {
  if (following === undefined) return {}
  const { staleSeconds, trouble, endpoints } = following
  return { following: { stale_seconds: Math.round(staleSeconds * 10) / 10, trouble, endpoints } }
}

/** Versions that an endpoint failed to load are shown with the one that carries its traffic. */
function modelHealth(variant: Variant, endpoint: Endpoint): object {
  const status = variant.status()
  const carries = endpoint.main === variant
  return {
    name: status.endpoint,
    version: status.version,
    loaded: status.ready,
    memory_bytes: status.memoryBytes,
    phase: status.phase,
    reason: status.reason,
    advice: status.phase === 'failed' ? adviceFor('load failed') : undefined,
    instances: status.instances.map(({ name, state, failures, timeouts, lastFailure, retryAt }) => ({
      name,
      state,
      failures,
      timeouts,
      last_failure: lastFailure,
      advice: adviceFor(lastFailure?.reason),
      retry_at: retryAt,
    })),
    ...(carries && {
      failures: endpoint.failures.map(failedLoad),
      loading: endpoint.loading.map((other) => other.subject.version),
    }),
  }
}

function failedLoad({ version, path, failure }: VariantStatus): object {
  return { version, path, ...failure, advice: adviceFor('load failed') }
}
