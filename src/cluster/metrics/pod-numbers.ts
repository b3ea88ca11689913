import { messageOf } from '../../core/errors.ts'
import { Semaphore } from '../../core/semaphore.ts'
import { PORTS } from '../../kubernetes/labels.ts'
import { every } from './every.ts'
import { LOOKED_AT, numbersOf, readLook, spanOf, withLook } from './looks.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../core/log.ts'
import type { KubernetesReader } from './kubernetes-reader.ts'
import type { Look } from './looks.ts'
import type { PodNumbers, PodValue, ScalingMetric } from './sources.ts'

export interface PodNumbersOptions {
  readonly kubernetes: KubernetesReader
  /** Undefined: those of all namespaces. */
  readonly namespace: string | undefined
  /** Labels by which pods of servers are found. */
  readonly selector: string
  /** Pause between two looks at a pod, milliseconds. */
  readonly intervalMs: number
  /** Time over which rates and averages are taken, milliseconds. */
  readonly windowMs: number
  /** Key that servers ask for, for their metrics; undefined where they ask for none. */
  readonly key: string | undefined
  readonly clock: Clock
  readonly log: Logger
}

/** A pod that runs, as far as it matters. */
interface Pod {
  readonly uid: string
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly url: string
}

interface Watched {
  pod: Pod
  looks: readonly Look[]
  /** Of the last look, UTC epoch milliseconds. */
  seenAt: number
}

/** Pods that are asked at a time, and how long one may take. */
const ASKED_AT_ONCE = 32
const TIMEOUT_MS = 2000
/** Longest text of metrics that is read. */
const TEXT_MAX = 8 * 1024 * 1024
/** Looks after which a pod that was silent has no numbers. */
const STALE_LOOKS = 3
/** Pods in one answer of the API server. */
const PAGE = 500
const QUERY = Object.values(LOOKED_AT)
  .map((name) => `name[]=${name}`)
  .join('&')

/**
 * Numbers of pods from the servers in them: each is looked at every few seconds, and what it counted meanwhile is a rate. A pod that has been
 * looked at once, or has not answered for three looks, has none.
 */
export function openPodNumbers(options: PodNumbersOptions): PodNumbers {
  const { windowMs, intervalMs, clock, log } = options
  const watched = new Map<string, Watched>()
  const turns = new Semaphore(ASKED_AT_ONCE)
  let trouble: string | undefined = 'no pods have been listed yet'
  let listed = false
  const look = async (signal: AbortSignal): Promise<void> => {
    try {
      const pods = await listPods(options, signal)
      const gone = new Set(watched.keys())
      for (const pod of pods) {
        gone.delete(pod.uid)
        watched.set(pod.uid, { looks: [], seenAt: 0, ...watched.get(pod.uid), pod })
      }
      for (const uid of gone) watched.delete(uid)
      if (trouble !== undefined) log.info({ pods: pods.length }, 'pods are listed')
      trouble = undefined
      listed = true
    } catch (error) {
      if (signal.aborted) return
      // What is known of the pods goes on: they are asked, whoever lists them.
      if (trouble !== messageOf(error)) log.warn({}, `pods cannot be listed: ${messageOf(error)}`)
      trouble = messageOf(error)
    }
    await Promise.all([...watched.values()].map((one) => turns.take(() => lookAt(one, options, signal))))
  }
  const looking = every(intervalMs, look)
  return {
    get waitsFor() {
      return listed ? undefined : trouble
    },
    values({ namespace, metric, pod: name, labels, served }) {
      const oldestMs = clock.monotonicMs() - STALE_LOOKS * Math.max(intervalMs, TIMEOUT_MS)
      return [...watched.values()].flatMap(({ pod, looks, seenAt }): PodValue[] => {
        if (pod.namespace !== namespace || (name === undefined ? !labels(pod.labels) : pod.name !== name)) return []
        if ((looks.at(-1)?.atMs ?? 0) < oldestMs) return []
        const value = sumOf(looks, metric, served)
        if (value === undefined) return []
        return [{ namespace, pod: pod.name, atMs: seenAt, windowMs: Math.min(windowMs, spanOf(looks)), value }]
      })
    },
    [Symbol.asyncDispose]: () => looking[Symbol.asyncDispose](),
  }
}

function sumOf(
  looks: readonly Look[],
  metric: ScalingMetric,
  wanted: (labels: Readonly<Record<string, string>>) => boolean,
): number | undefined {
  const numbers = numbersOf(looks).filter(({ served }) => wanted({ ...served }))
  return numbers.length === 0 ? undefined : numbers.reduce((sum, number) => sum + number[metric], 0)
}

async function lookAt(watched: Watched, { windowMs, key, clock, log }: PodNumbersOptions, signal: AbortSignal): Promise<void> {
  const { pod } = watched
  try {
    const begunMs = clock.monotonicMs()
    const response = await fetch(`${pod.url}/metrics?${QUERY}`, {
      redirect: 'error',
      headers: { accept: 'text/plain; version=0.0.4', ...(key !== undefined && { authorization: `Bearer ${key}` }) },
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    })
    const text = await boundedText(response)
    if (!response.ok) throw new Error(`it answers ${response.status}`)
    const look = readLook(text, (begunMs + clock.monotonicMs()) / 2)
    if (look === undefined) throw new Error('its /metrics are not those of a server of Slipway')
    watched.looks = withLook(watched.looks, look, windowMs)
    watched.seenAt = clock.epochMs()
  } catch (error) {
    if (!signal.aborted) log.debug({ namespace: pod.namespace, pod: pod.name }, `no numbers of ${pod.url}: ${messageOf(error)}`)
  }
}

async function boundedText(response: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body ?? []) {
    size += part.length
    if (size > TEXT_MAX) throw new Error(`its metrics have more than ${TEXT_MAX} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

interface PodObject {
  readonly metadata: {
    readonly uid: string
    readonly namespace: string
    readonly name: string
    readonly labels?: Record<string, string>
    readonly deletionTimestamp?: string
  }
  readonly spec?: {
    readonly containers?: readonly { readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[] }[]
  }
  readonly status?: { readonly phase?: string; readonly podIP?: string }
}

async function listPods({ kubernetes, namespace, selector }: PodNumbersOptions, signal: AbortSignal): Promise<Pod[]> {
  const path = namespace === undefined ? '/api/v1/pods' : `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`
  const pods: Pod[] = []
  for (let next: string | undefined = ''; next !== undefined;) {
    const query = new URLSearchParams({ labelSelector: selector, limit: String(PAGE), ...(next !== '' && { continue: next }) })
    const page = (await kubernetes.get(`${path}?${query.toString()}`, signal)) as {
      items: PodObject[]
      metadata?: { continue?: string }
    }
    pods.push(...page.items.flatMap(podOf))
    const more = page.metadata?.continue
    next = more === undefined || more === '' ? undefined : more
  }
  return pods
}

/** Pods that run and are to go on. */
function podOf({ metadata, spec, status }: PodObject): Pod[] {
  const { uid, namespace, name, labels = {}, deletionTimestamp } = metadata
  const address = status?.podIP
  if (status?.phase !== 'Running' || address === undefined || address === '' || deletionTimestamp !== undefined) return []
  const port = spec?.containers?.flatMap(({ ports = [] }) => ports).find((one) => one.name === 'http')?.containerPort ?? PORTS.http
  return [{ uid, namespace, name, labels, url: `http://${address.includes(':') ? `[${address}]` : address}:${port}` }]
}
