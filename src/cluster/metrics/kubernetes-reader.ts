import { readFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { messageOf, SlipwayError } from '../../core/errors.ts'

/** Reads of the API of Kubernetes, with the account that a pod has: all that the metrics adapter asks for. */
export interface KubernetesReader extends Disposable {
  /** @throws SLW_UNREACHABLE; SLW_FORBIDDEN and SLW_NOT_FOUND as the API says */
  get(path: string, signal: AbortSignal): Promise<unknown>
}

export interface ReaderOptions {
  /** Default: that of the cluster that this runs in. */
  readonly url?: string | undefined
  /** Files; a token is read again before it ends. Default: those that pods have. */
  readonly tokenFile?: string | undefined
  readonly caFile?: string | undefined
}

/** Where pods have the credentials of their service account. */
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
/** Tokens are exchanged on disk well before they end. */
const TOKEN_LIFE_MS = 60_000
const TIMEOUT_MS = 10_000
const ANSWER_MAX = 64 * 1024 * 1024

/** @throws SLW_CONFIG_INVALID where this runs in no cluster and no address is given, or a file cannot be read */
export async function openReader(options: ReaderOptions, environment: NodeJS.ProcessEnv): Promise<KubernetesReader> {
  const base = options.url ?? inCluster(environment)
  const tokenFile = options.tokenFile ?? join(ACCOUNT, 'token')
  const agent = new Agent({ ca: await read(options.caFile ?? join(ACCOUNT, 'ca.crt')), keepAlive: true, maxSockets: 4 })
  let token = { text: await read(tokenFile), readAt: performance.now() }
  return {
    async get(path, signal) {
      if (performance.now() - token.readAt > TOKEN_LIFE_MS) token = { text: await read(tokenFile), readAt: performance.now() }
      const { status, text } = await ask(new URL(`${base.replace(/\/$/, '')}${path}`), { agent, token: token.text.trim(), signal })
      if (status === 200) return parsed(text, path)
      const said = `${base}${path} answers ${status}: ${messageIn(text)}`
      throw new SlipwayError(
        status === 401 || status === 403 ? 'SLW_FORBIDDEN' : status === 404 ? 'SLW_NOT_FOUND' : 'SLW_UNREACHABLE',
        said,
      )
    },
    [Symbol.dispose]: () => agent.destroy(),
  }
}

function inCluster({ KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' }: NodeJS.ProcessEnv): string {
  if (host === undefined)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      'this runs in no cluster (KUBERNETES_SERVICE_HOST is not set): give --kube-api with the address of the API server',
    )
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new SlipwayError('SLW_CONFIG_INVALID', `${path} cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

function ask(
  url: URL,
  { agent, token, signal }: { readonly agent: Agent; readonly token: string; readonly signal: AbortSignal },
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void =>
      reject(new SlipwayError('SLW_UNREACHABLE', `${url.origin} does not answer: ${messageOf(error)}`, { cause: error }))
    const headers = { authorization: `Bearer ${token}`, accept: 'application/json' }
    const asked = request(url, { agent, headers, signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]) }, (response) => {
      const parts: Buffer[] = []
      let size = 0
      response.on('data', (part: Buffer) => {
        size += part.length
        if (size > ANSWER_MAX) asked.destroy(new Error(`an answer has more than ${ANSWER_MAX} bytes`))
        else parts.push(part)
      })
      response.once('error', failed)
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8') }))
    })
    asked.once('error', failed)
    asked.end()
  })
}

function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new SlipwayError('SLW_UNREACHABLE', `${path}: the answer is no JSON`, { cause: error })
  }
}

/** The message of a Status, or the answer as it is. */
function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown }
    if (typeof message === 'string') return message
  } catch {
    // A proxy answers in words of its own.
  }
  return text.slice(0, 300)
}
