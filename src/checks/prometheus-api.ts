import { messageOf } from '../core/errors.ts'
import { firstCharacters } from '../core/text.ts'
import { HEADER_VALUE } from '../contract/outside-check.ts'
import { askOutside } from '../security/outside-request.ts'
import { slipwayVersion } from '../core/version.ts'
import { AskError } from './answer.ts'
import { readText } from './read-text.ts'
import type { Secrets } from '../security/secrets/secrets.ts'

/** The HTTP API of a Prometheus, https://prometheus.io/docs/prometheus/latest/querying/api/ */
export interface PrometheusApi {
  /** @returns `data` of the answer. @throws AskError */
  get<T>(path: string, parameters: Readonly<Record<string, string>>): Promise<T>
}

export interface PrometheusApiOptions {
  readonly url: string
  /** References to secrets, by the name of the header. */
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly allowInside: boolean
  readonly signal: AbortSignal
  readonly secrets: Secrets
}

interface ApiAnswer {
  readonly status?: unknown
  readonly error?: unknown
  readonly errorType?: unknown
  readonly data?: unknown
  /** VictoriaMetrics: not all of its storage has answered. */
  readonly isPartial?: unknown
  readonly warnings?: unknown
}

/** All requests together have the time of one check. */
export async function openPrometheus(options: PrometheusApiOptions): Promise<PrometheusApi> {
  const headers = await headersOf(options)
  const { timeoutMs, allowInside } = options
  const base = options.url.replace(/\/+$/, '').replace(/\/api\/v1(\/query)?$/, '')
  const late = AbortSignal.timeout(timeoutMs)
  const signal = AbortSignal.any([options.signal, late])
  return {
    async get<T>(path: string, parameters: Readonly<Record<string, string>>): Promise<T> {
      const url = `${base}/api/v1${path}?${String(new URLSearchParams(parameters))}`
      try {
        const response = await askOutside(url, { method: 'GET', headers, timeoutMs, allowInside, signal })
        return dataOf(base, { status: response.statusCode ?? 0, headers: response.headers, text: await readText(response) }) as T
      } catch (error) {
        options.signal.throwIfAborted()
        if (error instanceof AskError) throw error
        throw new AskError(`${base} cannot be asked: ${late.aborted ? `no answer within ${timeoutMs / 1000} s` : messageOf(error)}`)
      }
    },
  }
}

/** @throws AskError for a secret that is not for this address */
async function headersOf({ url, headers, secrets }: PrometheusApiOptions): Promise<Record<string, string>> {
  const values = Object.entries(headers).map(async ([name, text]) => {
    const [, scheme, reference = text] = HEADER_VALUE.exec(text) ?? []
    const value = await secrets.secret(`the header ${name} of a check`, reference).value()
    // Whoever declares a check chooses the address: whoever keeps the secret says which it may go to.
    const place = await secrets.secret(`the address of ${reference}`, `${reference}_URL`).value()
    if (!URL.canParse(place) || new URL(place).origin !== new URL(url).origin)
      throw new AskError(`${reference} is not for ${new URL(url).origin}: ${reference.slice(4)}_URL has the address that it is for`)
    return [name, scheme === undefined ? value : `${scheme} ${value}`]
  })
  return {
    ...(Object.fromEntries(await Promise.all(values)) as Record<string, string>),
    accept: 'application/json',
    'user-agent': `slipway/${slipwayVersion()}`,
  }
}

interface HttpAnswer {
  readonly status: number
  readonly headers: { readonly location?: string | undefined; readonly 'content-type'?: string | undefined }
  readonly text: string
}

/** @throws AskError that says what answers instead */
function dataOf(base: string, { status, headers, text }: HttpAnswer): unknown {
  const answer = parsed(text)
  if (status === 401 || status === 403)
    throw new AskError(`${base} answers ${status}: it wants to know who asks; give what it expects in headers`)
  if (status >= 300 && status < 400)
    throw new AskError(
      `${base} answers ${status} and sends on to ${headers.location ?? 'nowhere'}, which is not followed; give the address itself`,
    )
  if (answer?.status === 'error')
    throw new AskError(`${base} answers ${status}: ${String(answer.errorType)}: ${firstCharacters(String(answer.error), 500)}`)
  if (status >= 500) throw new AskError(`${base} answers ${status}: ${shown(text)}`)
  if (status !== 200 || answer?.status !== 'success' || answer.data === undefined)
    throw new AskError(
      `what answers at ${base} is no Prometheus (status ${status}, ${headers['content-type'] ?? 'no media type'}: ${shown(text)}); expected JSON of /api/v1, so is the address the one that the query page is at?`,
    )
  if (answer.isPartial === true) throw new AskError(`${base} has answered only in part: not all of its storage could be read`)
  return answer.data
}

function parsed(text: string): ApiAnswer | undefined {
  try {
    const value = JSON.parse(text) as unknown
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

function shown(text: string): string {
  return text.trim() === '' ? 'nothing' : JSON.stringify(firstCharacters(text.trim(), 100))
}
