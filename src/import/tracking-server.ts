import { SlipwayError } from '../core/errors.ts'
import { askOutside } from '../security/outside-request.ts'
import type { IncomingMessage } from 'node:http'
import type { Tag } from '../ledger/tags.ts'

/** Connection to an MLflow server (as researched, its answers are in snake_case and leave empty fields out). */
export interface TrackingServerOptions {
  readonly url: string
  /** The value of the header Authorization; undefined for none. Kept in memory only. */
  readonly authorization: string | undefined
  readonly allowInside: boolean
}

export interface TheirExperiment {
  readonly experiment_id: string
  readonly name: string
  readonly artifact_location?: string
  readonly lifecycle_stage?: string
  readonly creation_time?: number | string
  readonly last_update_time?: number | string
  readonly tags?: readonly Tag[]
}

export interface TheirPoint {
  readonly key: string
  readonly value: number | string
  readonly timestamp?: number | string
  readonly step?: number | string
  readonly run_id?: string
  readonly dataset_name?: string
  readonly dataset_digest?: string
}

export interface TheirRun {
  readonly info: {
    readonly run_id: string
    readonly experiment_id: string
    readonly run_name?: string
    readonly user_id?: string
    readonly status?: string
    readonly start_time?: number | string
    readonly end_time?: number | string
    readonly artifact_uri?: string
    readonly lifecycle_stage?: string
  }
  readonly data?: { readonly metrics?: readonly TheirPoint[]; readonly params?: readonly Tag[]; readonly tags?: readonly Tag[] }
  readonly inputs?: {
    readonly dataset_inputs?: readonly { readonly tags?: readonly Tag[]; readonly dataset: TheirDataset }[]
    readonly model_inputs?: readonly { readonly model_id: string }[]
  }
  readonly outputs?: { readonly model_outputs?: readonly { readonly model_id: string; readonly step?: number | string }[] }
}

export interface TheirDataset {
  readonly name: string
  readonly digest: string
  readonly source_type?: string
  readonly source?: string
  readonly schema?: string
  readonly profile?: string
}

export interface TheirLoggedModel {
  readonly info: {
    readonly model_id: string
    readonly experiment_id: string
    readonly name: string
    readonly creation_timestamp_ms?: number | string
    readonly last_updated_timestamp_ms?: number | string
    readonly artifact_uri?: string
    readonly status?: string
    readonly model_type?: string
    readonly source_run_id?: string
    readonly tags?: readonly Tag[]
  }
  readonly data?: { readonly params?: readonly Tag[]; readonly metrics?: readonly TheirPoint[] }
}

export interface TheirModel {
  readonly name: string
  readonly creation_timestamp?: number | string
  readonly last_updated_timestamp?: number | string
  readonly description?: string
  readonly tags?: readonly Tag[]
  readonly aliases?: readonly { readonly alias: string; readonly version: string }[]
}

export interface TheirVersion {
  readonly name: string
  readonly version: string
  readonly creation_timestamp?: number | string
  readonly last_updated_timestamp?: number | string
  readonly current_stage?: string
  readonly description?: string
  readonly source?: string
  readonly run_id?: string
  readonly run_link?: string
  readonly model_id?: string
  readonly tags?: readonly Tag[]
}

interface TheirFile {
  readonly path: string
  readonly is_dir?: boolean
  readonly file_size?: number | string
}

/** A file on the other server, with a function that fetches it. */
export interface RemoteFile {
  /** Path from the root of the run or model. */
  readonly path: string
  readonly open: () => Promise<IncomingMessage>
}

const TIMEOUT_MS = 120_000
const JSON_BYTES_MAX = 256 * 1024 * 1024
/** Upper limit of nested folders: a deeper listing counts as endless. */
const DEPTH_MAX = 40

/** Reads an MLflow server, page by page. */
export class TrackingServer {
  readonly #options: TrackingServerOptions
  readonly #base: string

  constructor(options: TrackingServerOptions) {
    this.#options = options
    this.#base = options.url.replace(/\/+$/, '')
  }

  /** Items of all pages of a search; none for a route that an older server does not have. */
  search<T>(path: string, items: string, body: object): AsyncGenerator<T> {
    return pages(items, (token) => this.#json(`/api/2.0/mlflow/${path}`, { ...body, ...token }))
  }

  /** As {@link search}, for a route with GET. */
  list<T>(path: string, items: string, query: Readonly<Record<string, string>>): AsyncGenerator<T> {
    return pages(items, (token) => this.#json(`/api/2.0/mlflow/${path}?${new URLSearchParams({ ...query, ...token }).toString()}`))
  }

  /** Place of a version's files, which the source may name by another version; undefined if the server does not say. */
  async placeOfVersion(name: string, version: string): Promise<string | undefined> {
    const query = new URLSearchParams({ name, version }).toString()
    const answer = await this.#json(`/api/2.0/mlflow/model-versions/get-download-uri?${query}`)
    const place = answer?.['artifact_uri']
    return typeof place === 'string' && place !== '' ? place : undefined
  }

  /** Every file of a run. */
  runFiles(runId: string): AsyncGenerator<RemoteFile> {
    return this.#filesBelow(
      (folder) => this.list<TheirFile>('artifacts/list', 'files', { run_id: runId, ...(folder !== '' && { path: folder }) }),
      (path) => `/get-artifact?${new URLSearchParams({ run_uuid: runId, path }).toString()}`,
    )
  }

  /** Every file of a logged model. */
  modelFiles(modelId: string): AsyncGenerator<RemoteFile> {
    const base = `logged-models/${encodeURIComponent(modelId)}/artifacts/directories`
    return this.#filesBelow(
      (folder) => this.list<TheirFile>(base, 'files', folder === '' ? {} : { artifact_directory_path: folder }),
      (path) =>
        `/ajax-api/2.0/mlflow/logged-models/${encodeURIComponent(modelId)}/artifacts/files?${new URLSearchParams({ artifact_file_path: path }).toString()}`,
    )
  }

  async *#filesBelow(
    list: (folder: string) => AsyncGenerator<TheirFile>,
    addressOf: (path: string) => string,
    folder = '',
    depth = 0,
  ): AsyncGenerator<RemoteFile> {
    if (depth > DEPTH_MAX) throw new SlipwayError('SLW_INPUT_INVALID', `${this.#base} lists folders within folders without end`)
    for await (const { path, is_dir: isFolder = false } of list(folder)) {
      if (isFolder) yield* this.#filesBelow(list, addressOf, path, depth + 1)
      else yield { path, open: () => this.#open(addressOf(path)) }
    }
  }

  async #open(path: string, body?: string): Promise<IncomingMessage> {
    const { authorization, allowInside } = this.#options
    const headers = {
      ...(authorization !== undefined && { authorization }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    }
    const asked = {
      method: body === undefined ? 'GET' : 'POST',
      headers,
      timeoutMs: TIMEOUT_MS,
      allowInside,
      ...(body !== undefined && { body }),
    } as const
    const response = await askOutside(`${this.#base}${path}`, asked).catch((error: unknown) => {
      if (error instanceof SlipwayError) throw error
      throw new SlipwayError('SLW_UNREACHABLE', `${this.#base} does not answer: ${(error as Error).message}`)
    })
    const { statusCode = 0 } = response
    if (statusCode === 200) return response
    response.resume()
    throw new SlipwayError(
      statusCode === 404 ? 'SLW_NOT_FOUND' : 'SLW_UNREACHABLE',
      `${this.#base}${path.split('?', 1)[0]!} answers ${statusCode}`,
    )
  }

  /** Undefined for a route that is not there. */
  async #json(path: string, body?: object): Promise<Record<string, unknown> | undefined> {
    try {
      const response = await this.#open(path, body === undefined ? undefined : JSON.stringify(body))
      const pieces: Buffer[] = []
      let size = 0
      for await (const piece of response as AsyncIterable<Buffer>) {
        size += piece.length
        if (size > JSON_BYTES_MAX)
          throw new SlipwayError('SLW_INPUT_INVALID', `${this.#base} answers with more than ${JSON_BYTES_MAX} bytes of JSON`)
        pieces.push(piece)
      }
      return JSON.parse(Buffer.concat(pieces).toString('utf8')) as Record<string, unknown>
    } catch (error) {
      if (error instanceof SyntaxError)
        throw new SlipwayError('SLW_UNREACHABLE', `${this.#base} answers, and not as MLflow does: ${error.message}`)
      if ((error as { code?: string }).code === 'SLW_NOT_FOUND') return undefined
      throw error
    }
  }
}

/** Items of all pages. @param ask reads a page by the token of the page before; returns undefined if there is no such route */
async function* pages<T>(
  items: string,
  ask: (token: Readonly<Record<string, string>>) => Promise<Record<string, unknown> | undefined>,
): AsyncGenerator<T> {
  for (let token = {}; ;) {
    const page = await ask(token)
    if (page === undefined) return
    yield* (page[items] ?? []) as T[]
    const next = page['next_page_token'] as string | undefined
    if (next === undefined || next === '') return
    token = { page_token: next }
  }
}

/** Reads a 64-bit number, which MLflow sends as a number or a string. */
export function numberOf(value: number | string | undefined): number | undefined {
  if (value === undefined || value === '') return undefined
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : undefined
}

/** Reads a number; MLflow sends NaN and infinities as words. */
export function valueOf(value: number | string): number {
  if (typeof value === 'number') return value
  return value === 'Infinity' ? Number.POSITIVE_INFINITY : value === '-Infinity' ? Number.NEGATIVE_INFINITY : Number(value)
}
