/** The one place that loads @kubernetes/client-node: it reads kubeconfigs, with their certificates, plugins and OIDC. */
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { setTimeout as pause } from 'node:timers/promises'
import { isSlipwayError, messageOf, SlipwayError } from '../core/errors.ts'
import { MANAGER } from '../kubernetes/labels.ts'
import { apiPath, kindMissing } from './kinds.ts'
import { refusal } from './refusals.ts'
import type { RequestOptions } from 'node:https'
import type { KubernetesObject } from '../kubernetes/object.ts'
import type { Cluster, HowApplied, Listed, LiveObject } from './cluster.ts'
import type { Resource } from './kinds.ts'
import type { ApiStatus } from './refusals.ts'

export interface ClusterAddress {
  /** Path of a kubeconfig. Default: KUBECONFIG, else ~/.kube/config, else the service account of the pod that this runs in. */
  readonly kubeconfig?: string
  /** Default: the current one. */
  readonly context?: string
  /** Default: that of the context, else `default`. */
  readonly namespace?: string
}

interface Asked {
  readonly method: 'GET' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly body?: { readonly type: string; readonly value: unknown }
}

interface Answer {
  readonly status: number
  readonly body: unknown
  readonly retryAfterMs: number | undefined
}

const TIMEOUT_MS = 30_000
const ATTEMPTS = 4
const FIRST_PAUSE_MS = 250
const PAUSE_MAX_MS = 10_000
const PAGE = 500
/** Far more than any list of one endpoint. */
const ANSWER_BYTES_MAX = 256 * 2 ** 20

/** @throws SLW_DEPENDENCY_MISSING without @kubernetes/client-node; SLW_CONFIG_INVALID where the kubeconfig names no such cluster */
export async function connect(address: ClusterAddress = {}): Promise<Cluster> {
  const config = await readKubeconfig(address)
  const server = config.getCurrentCluster()?.server ?? ''
  const context = config.getContextObject(config.getCurrentContext())
  const name = `${context?.name ?? 'cluster'} (${server})`
  const namespace = address.namespace ?? context?.namespace ?? 'default'

  const once = (asked: Asked): Promise<Answer> => send(config, server, asked)
  const ask = async (asked: Asked): Promise<Answer> => {
    for (let attempt = 1; ; attempt++) {
      const answer = await once(asked).catch((error: unknown) => {
        if (attempt === ATTEMPTS || !isPassing(error)) throw unreachable(name, error)
        return undefined
      })
      // Every call may be made twice: reading, applying and deleting come to the same.
      const again = answer === undefined || answer.status === 429 || answer.status === 503 || answer.status === 504
      if (!again || attempt === ATTEMPTS) return answer!
      await pause(Math.min(answer?.retryAfterMs ?? FIRST_PAUSE_MS * 2 ** attempt, PAUSE_MAX_MS))
    }
  }

  const known = new Map<string, Promise<ReadonlyMap<string, Resource>>>()
  const resourceOf = async (of: { readonly apiVersion: string; readonly kind: string }): Promise<Resource> => {
    const { apiVersion, kind } = of
    const asked = known.get(apiVersion) ?? resources(ask, apiVersion, name)
    known.set(apiVersion, asked)
    // What failed, or was not there, may be there for who asks later.
    const found = await asked.then(
      (all) => all.get(kind),
      (error: unknown) => {
        known.delete(apiVersion)
        throw error
      },
    )
    if (found !== undefined) return found
    known.delete(apiVersion)
    throw kindMissing(of, name)
  }
  const pathOf = async ({ apiVersion, kind, metadata }: KubernetesObject): Promise<string> => {
    const { plural, namespaced } = await resourceOf({ apiVersion, kind })
    const inside = namespaced ? `/namespaces/${encodeURIComponent(metadata.namespace ?? namespace)}` : ''
    return `${apiPath(apiVersion)}${inside}/${plural}/${encodeURIComponent(metadata.name)}`
  }

  return {
    name,
    namespace,
    async read(object) {
      const answer = await ask({ method: 'GET', path: await pathOf(object) })
      return answer.status === 404 ? undefined : (checked(answer, whatOf(object), name) as LiveObject)
    },
    async list(listed) {
      const { plural } = await resourceOf(listed)
      const inside = listed.namespace === undefined ? '' : `/namespaces/${encodeURIComponent(listed.namespace)}`
      return await pages(ask, `${apiPath(listed.apiVersion)}${inside}/${plural}`, listed, name)
    },
    async versionOf(group, kind) {
      const apiVersion = group === '' ? 'v1' : await preferredVersion(ask, group, name)
      if (apiVersion === undefined) return undefined
      return await resourceOf({ apiVersion, kind }).then(
        () => apiVersion,
        (error: unknown) => {
          if (isSlipwayError(error) && error.code === 'SLW_KIND_MISSING') return undefined
          throw error
        },
      )
    },
    async apply(object, { dryRun = false, force = false, manager = MANAGER }: HowApplied = {}) {
      const answer = await ask({
        method: 'PATCH',
        path: await pathOf(object),
        query: {
          fieldManager: manager,
          fieldValidation: 'Strict',
          force: force ? 'true' : undefined,
          dryRun: dryRun ? 'All' : undefined,
        },
        body: { type: 'application/apply-patch+yaml', value: object },
      })
      return checked(answer, whatOf(object), name) as LiveObject
    },
    async remove(object, { dryRun = false } = {}) {
      const query = { propagationPolicy: 'Background', dryRun: dryRun ? 'All' : undefined }
      const answer = await ask({ method: 'DELETE', path: await pathOf(object), query })
      if (answer.status !== 404) checked(answer, whatOf(object), name)
    },
    async [Symbol.asyncDispose]() {
      const options: RequestOptions = {}
      await config.applyToHTTPSOptions(options)
      if (typeof options.agent === 'object') options.agent.destroy()
    },
  }
}

/** What is used of the package, whose own types are half a million lines to check. */
interface KubeConfig {
  loadFromDefault(): void
  loadFromFile(path: string): void
  getContexts(): readonly { readonly name: string; readonly namespace?: string }[]
  getContextObject(name: string): { readonly name: string; readonly namespace?: string } | null
  getCurrentContext(): string
  setCurrentContext(name: string): void
  getCurrentCluster(): { readonly server: string } | null
  applyToHTTPSOptions(options: RequestOptions): Promise<void>
}
const PACKAGE: string = '@kubernetes/client-node'

async function readKubeconfig({ kubeconfig, context }: ClusterAddress): Promise<KubeConfig> {
  const { KubeConfig: Config } = (await import(PACKAGE).catch((error: unknown) => {
    throw new SlipwayError('SLW_DEPENDENCY_MISSING', `talking to a cluster needs ${PACKAGE}; install it with: npm install ${PACKAGE}`, {
      cause: error,
    })
  })) as { readonly KubeConfig: new () => KubeConfig }
  const config = new Config()
  try {
    if (kubeconfig === undefined) config.loadFromDefault()
    else config.loadFromFile(kubeconfig)
  } catch (error) {
    throw new SlipwayError('SLW_CONFIG_INVALID', `${kubeconfig ?? 'the kubeconfig'} cannot be read: ${firstLine(error)}`)
  }
  if (context !== undefined) {
    const names = config.getContexts().map((one) => one.name)
    if (!names.includes(context))
      throw new SlipwayError('SLW_CONFIG_INVALID', `the kubeconfig has no context "${context}"; it has ${names.join(', ')}`)
    config.setCurrentContext(context)
  }
  if (config.getCurrentCluster() === null)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      'no cluster is chosen: name a context with --context, or choose one with: kubectl config use-context NAME',
    )
  return config
}

/** What reads YAML quotes the lines around what is wrong, and those of a kubeconfig are secrets. */
function firstLine(error: unknown): string {
  return messageOf(error).split('\n', 1)[0] ?? ''
}

/** The kinds of an API version. */
async function resources(ask: (asked: Asked) => Promise<Answer>, apiVersion: string, name: string): Promise<ReadonlyMap<string, Resource>> {
  const answer = await ask({ method: 'GET', path: apiPath(apiVersion) })
  if (answer.status === 404) return new Map()
  const { resources: all } = checked(answer, `kinds of ${apiVersion}`, name) as {
    readonly resources: readonly { readonly name: string; readonly kind: string; readonly namespaced: boolean }[]
  }
  const own = all.filter((one) => !one.name.includes('/'))
  return new Map(own.map((one) => [one.kind, { plural: one.name, namespaced: one.namespaced }]))
}

async function preferredVersion(ask: (asked: Asked) => Promise<Answer>, group: string, name: string): Promise<string | undefined> {
  const answer = await ask({ method: 'GET', path: `/apis/${group}` })
  if (answer.status === 404) return undefined
  const { preferredVersion: preferred } = checked(answer, `versions of ${group}`, name) as {
    readonly preferredVersion: { readonly groupVersion: string }
  }
  return preferred.groupVersion
}

async function pages(ask: (asked: Asked) => Promise<Answer>, path: string, listed: Listed, name: string): Promise<LiveObject[]> {
  const items: LiveObject[] = []
  const { apiVersion, kind, selector, fields } = listed
  for (let from: string | undefined; ;) {
    const query = { limit: String(PAGE), continue: from, labelSelector: selector, fieldSelector: fields }
    const page = checked(await ask({ method: 'GET', path, query }), `list of ${kind}`, name) as {
      readonly metadata?: { readonly continue?: string }
      readonly items: readonly LiveObject[]
    }
    // Items of a list do not say what they are.
    items.push(...page.items.map((item) => ({ ...item, apiVersion, kind })))
    from = page.metadata?.continue
    if (from === undefined || from === '') return items
  }
}

function checked({ status, body }: Answer, what: string, where: string): unknown {
  if (status >= 200 && status < 300) return body
  throw refusal(status, body as ApiStatus, what, where)
}

function whatOf({ kind, metadata: { namespace, name } }: KubernetesObject): string {
  return `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`
}

async function send(config: KubeConfig, server: string, { method, path, query = {}, body }: Asked): Promise<Answer> {
  const url = new URL(`${server.replace(/\/$/, '')}${path}`)
  for (const [key, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(key, value)
  const options: RequestOptions = {
    method,
    headers: { accept: 'application/json', ...(body !== undefined && { 'content-type': body.type }) },
  }
  await config.applyToHTTPSOptions(options)
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const asked = (url.protocol === 'http:' ? requestHttp : requestHttps)(url, options, (response) => {
    const parts: Buffer[] = []
    let bytes = 0
    response.on('data', (part: Buffer) => {
      bytes += part.length
      if (bytes > ANSWER_BYTES_MAX) asked.destroy(new Error(`more than ${ANSWER_BYTES_MAX} bytes`))
      parts.push(part)
    })
    response.once('error', reject)
    response.once('end', () => {
      const seconds = Number(response.headers['retry-after'])
      const retryAfterMs = Number.isFinite(seconds) ? seconds * 1000 : undefined
      resolve({ status: response.statusCode ?? 0, body: jsonOf(Buffer.concat(parts).toString('utf8')), retryAfterMs })
    })
  })
  const late = setTimeout(() => asked.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)), TIMEOUT_MS)
  asked.once('error', reject)
  asked.end(body === undefined ? undefined : JSON.stringify(body.value))
  return await promise.finally(() => clearTimeout(late))
}

/** Proxies and API servers that are starting answer in plain words. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return { message: text.trim().slice(0, 500) }
  }
}

/** Whether the same request may get through in a moment. */
function isPassing(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN'].includes((error as NodeJS.ErrnoException).code ?? '')
}

function unreachable(name: string, error: unknown): SlipwayError {
  const code = (error as NodeJS.ErrnoException).code
  return new SlipwayError('SLW_UNREACHABLE', `the cluster ${name} cannot be reached: ${messageOf(error) || code || 'no reason given'}`, {
    cause: error,
  })
}
