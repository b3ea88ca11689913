import { Agent as HttpAgent, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { rootCertificates } from 'node:tls'
import { apiAddress } from '../contract/api-address.ts'
import { check } from '../contract/schema.ts'
import { FollowedState, VersionManifest } from '../contract/followed-state.ts'
import { FeedbackAnswer } from '../contract/feedback.ts'
import { errorOf } from '../contract/problem.ts'
import { messageOf, SlipwayError } from '../core/errors.ts'
import type { IncomingMessage } from 'node:http'
import type { Static, TSchema } from 'typebox'
import type { ServerReport } from '../contract/followed-state.ts'
import type { FeedbackItem } from '../contract/feedback.ts'
import { writeWindow } from '../contract/observation-window.ts'
import type { ObservationWindow } from '../contract/observation-window.ts'
import type { Credentials } from './credentials.ts'
import type { Joining, OwnKey } from './credentials.ts'
import type { ControlPlaneAddress, Selection } from './types.ts'

/** Time of silence after which an answer counts as failed. */
const SILENCE_MS = 15_000
/** Time limit of a whole answer, whose bytes come no slower than this: a sender that drips is given up. */
const ANSWER_MS = 120_000
const BYTES_PER_S_MIN = 16 * 1024
/** Size limit of a document; a larger one is an error. */
const JSON_BYTES_MAX = 64 * 1024 * 1024

const BYTES_PATH = '/follow/contents/'

interface Asked {
  readonly method?: 'GET' | 'PUT' | 'POST'
  readonly body?: unknown
  /** A body that is no JSON document: lines of JSON. */
  readonly lines?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Time that the control plane may take to answer, beside the usual silence. */
  readonly waitMs?: number
  readonly signal?: AbortSignal | undefined
  /** Key that is used instead of the one from `credentials`. */
  readonly key?: string
  readonly bytesMax?: number
}

/** Identity of a file of records: which process wrote it, and its number there; and when it is sent, by the clock of the server. */
export interface RecordsSent {
  readonly bootId: string
  readonly sequence: number
  readonly sentAt: number
}

interface Answered {
  readonly status: number
  readonly etag: string | undefined
  readonly body: Buffer
}

/** Client of the control plane that is followed. Every answer is checked: an invalid one is an error, and harms nothing. */
export class ControlPlaneClient implements Disposable {
  readonly #base: string
  readonly #url: string
  readonly #agent: HttpAgent | HttpsAgent
  readonly #request: typeof requestHttp
  readonly #answerMs: number
  #credentials: Credentials | undefined

  /** @param answerMs time limit of a whole answer, beside the time that bytes take. Default: two minutes */
  constructor({ url, environment, ca }: ControlPlaneAddress, answerMs: number = ANSWER_MS) {
    this.#answerMs = answerMs
    const clean = url.replace(/\/+$/, '')
    if (!URL.canParse(clean) || !/^https?:$/.test(new URL(clean).protocol))
      throw new SlipwayError('SLW_CONFIG_INVALID', `the control plane ${url} is no URL; expected one such as https://models.example.org`)
    this.#url = clean
    this.#base = apiAddress({ url: clean, environment })
    const secure = clean.startsWith('https:')
    this.#request = secure ? (requestHttps as typeof requestHttp) : requestHttp
    const kept = { keepAlive: true, maxSockets: 16 }
    this.#agent = secure ? new HttpsAgent({ ...kept, ...(ca !== undefined && { ca: [...rootCertificates, ca] }) }) : new HttpAgent(kept)
  }

  /** Source of the keys, which are in turn obtained by this client. */
  set credentials(credentials: Credentials) {
    this.#credentials = credentials
  }

  /**
   * The document of what is to be served.
   * @param known the ETag of the document that is known already: the answer then waits for another one
   * @returns undefined where nothing has changed
   */
  async follow(
    { endpoints = [], references = [] }: Selection,
    known: string | undefined,
    { waitMs, signal }: { waitMs: number; signal: AbortSignal },
  ): Promise<{ readonly state: FollowedState; readonly etag: string } | undefined> {
    const query = new URLSearchParams({ waitMs: String(waitMs) })
    if (endpoints !== 'all') query.set('endpoints', endpoints.join(','))
    if (references.length > 0) query.set('references', references.join(','))
    const headers: Record<string, string> = known === undefined ? {} : { 'if-none-match': `"${known}"` }
    const answer = await this.#ask(`/follow?${query.toString()}`, { headers, waitMs, signal })
    if (answer.status === 304) return undefined
    const etag = answer.etag?.replace(/^(?:W\/)?"(.*)"$/, '$1') ?? ''
    return { state: this.#checked(FollowedState, answer, 'the document of what is to be served'), etag }
  }

  async manifest(versionId: string, signal: AbortSignal): Promise<VersionManifest> {
    return this.#checked(VersionManifest, await this.#ask(`/follow/versions/${versionId}`, { signal }), 'the list of files')
  }

  /** Bytes of a content. @throws SLW_STORE_CORRUPT where they are not as many as were asked for */
  async bytes(contentId: string, range: { offset: number; length: number }, signal: AbortSignal): Promise<Buffer> {
    const { offset, length } = range
    const headers = { range: `bytes=${offset}-${offset + length - 1}` }
    const { body } = await this.#ask(`${BYTES_PATH}${contentId}`, { headers, signal, bytesMax: length })
    if (body.length !== length)
      throw new SlipwayError(
        'SLW_STORE_CORRUPT',
        `${this.#url} gives ${body.length} bytes of content ${contentId}, ${length} were asked for`,
      )
    return body
  }

  async report(server: string, report: ServerReport, signal: AbortSignal): Promise<void> {
    await this.#ask(`/servers/${encodeURIComponent(server)}/report`, { method: 'PUT', body: report, signal })
  }

  async sendWindows(server: string, windows: readonly ObservationWindow[], sentAt: number, signal: AbortSignal): Promise<void> {
    await this.#ask(`/servers/${encodeURIComponent(server)}/windows`, {
      method: 'POST',
      body: { sentAt, windows: windows.map(writeWindow) },
      signal,
    })
  }

  /** Sends labels of predictions. @returns those that are refused */
  async sendFeedback(items: readonly FeedbackItem[], signal: AbortSignal): Promise<FeedbackAnswer> {
    const { body } = await this.#ask('/feedback', { method: 'POST', body: { feedback: items }, signal })
    const checked = check(FeedbackAnswer, JSON.parse(body.toString('utf8')))
    if ('issues' in checked) throw new SlipwayError('SLW_UNREACHABLE', `${this.#url} gave no answer to labels that can be understood`)
    return checked.value
  }

  /** Sends one file of records, as lines of JSON. It counts once, however often and by whichever server it is sent. */
  async sendRecords(server: string, { bootId, sequence, sentAt }: RecordsSent, lines: string, signal: AbortSignal): Promise<void> {
    const query = new URLSearchParams({ bootId, sequence: String(sequence), sentAt: String(sentAt) })
    await this.#ask(`/servers/${encodeURIComponent(server)}/records?${query.toString()}`, { method: 'POST', lines, signal })
  }

  /** Obtains a server's own key with a join token. @param again whether this process had joined before */
  async join(server: string, token: string, { bootId, again }: Joining): Promise<OwnKey> {
    return await this.#ownKey('/servers/join', token, { server, bootId, again })
  }

  /** Replaces a server's own key. */
  async rotate(server: string, key: string): Promise<OwnKey> {
    return await this.#ownKey(`/servers/${encodeURIComponent(server)}/key`, key, {})
  }

  async #ownKey(path: string, key: string, asked: object): Promise<OwnKey> {
    const { body } = await this.#ask(path, { method: 'POST', body: asked, key })
    return JSON.parse(body.toString('utf8')) as OwnKey
  }

  #checked<T extends TSchema>(schema: T, { body }: Answered, what: string): Static<T> {
    let value: unknown
    try {
      value = JSON.parse(body.toString('utf8'))
    } catch (error) {
      throw new SlipwayError('SLW_UNREACHABLE', `${this.#url} gives ${what} that is no JSON: ${messageOf(error)}`)
    }
    const found = check(schema, value)
    if ('value' in found) return found.value
    const [first] = found.issues
    throw new SlipwayError('SLW_UNREACHABLE', `${this.#url} gives ${what} that is none: ${first?.path ?? ''} ${first?.message ?? ''}`)
  }

  async #ask(path: string, asked: Asked): Promise<Answered> {
    const key = asked.key ?? (await this.#credentials?.key())
    const answer = await this.#send(path, asked, key)
    if (answer.status === 401 && asked.key === undefined && key !== undefined) await this.#credentials?.refused(key)
    if ((answer.status >= 200 && answer.status < 300) || answer.status === 304) return answer
    throw errorOf(this.#url, { status: answer.status, text: answer.body.toString('utf8') })
  }

  #send(
    path: string,
    { method = 'GET', body, lines, headers = {}, waitMs = 0, signal, bytesMax = JSON_BYTES_MAX }: Asked,
    key: string | undefined,
  ): Promise<Answered> {
    const text = lines ?? (body === undefined ? undefined : JSON.stringify(body))
    const contentType = lines === undefined ? 'application/json' : 'application/x-ndjson'
    const limitMs = waitMs + this.#answerMs + (path.startsWith(BYTES_PATH) ? (bytesMax / BYTES_PER_S_MIN) * 1000 : 0)
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => {
        clearTimeout(patience)
        reject(unreachable(this.#url, error))
      }
      const outgoing = this.#request(`${this.#base}${path}`, {
        method,
        agent: this.#agent,
        headers: {
          ...headers,
          ...(key !== undefined && { authorization: `Bearer ${key}` }),
          ...(text !== undefined && { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
        },
        ...(signal !== undefined && { signal }),
      })
      const patience = setTimeout(() => {
        fail(new Error(`no whole answer within ${Math.round(limitMs / 1000)} s`))
        outgoing.destroy()
      }, limitMs)
      outgoing.setTimeout(waitMs + SILENCE_MS, () => outgoing.destroy(new Error(`no answer within ${(waitMs + SILENCE_MS) / 1000} s`)))
      outgoing.once('error', fail)
      outgoing.once('response', (response: IncomingMessage) => {
        const pieces: Buffer[] = []
        let size = 0
        response.setTimeout(SILENCE_MS, () => response.destroy(new Error(`nothing more within ${SILENCE_MS / 1000} s`)))
        response.on('data', (piece: Buffer) => {
          size += piece.length
          if (size > bytesMax + 1024 * 1024) response.destroy(new Error(`more than the ${bytesMax} bytes that were asked for`))
          else pieces.push(piece)
        })
        response.once('error', fail)
        response.once('aborted', () => fail(new Error('the answer was cut off')))
        response.once('end', () => {
          clearTimeout(patience)
          resolve({ status: response.statusCode ?? 0, etag: response.headers.etag, body: Buffer.concat(pieces) })
        })
      })
      outgoing.end(text)
    })
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }
}

function unreachable(url: string, error: unknown): SlipwayError {
  if ((error as { name?: string }).name === 'AbortError') return new SlipwayError('SLW_CANCELLED', 'given up')
  const code = (error as NodeJS.ErrnoException).code
  return new SlipwayError('SLW_UNREACHABLE', `${url} does not answer: ${code ?? messageOf(error)}`, { cause: error })
}
