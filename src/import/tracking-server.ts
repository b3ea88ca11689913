import { SlipwayError } from '../core/errors.ts'
import { askOutside } from '../security/outside-request.ts'
import { numberOf, PLACE, requireTheirs, THEIRS } from './their-objects.ts'
import type { IncomingMessage } from 'node:http'
import type { Static } from 'typebox'
import type { Theirs } from './their-objects.ts'

/** Connection to an MLflow server. */
export interface TrackingServerOptions {
  readonly url: string
  /** The value of the header Authorization; undefined for none. Kept in memory only. */
  readonly authorization: string | undefined
  readonly allowInside: boolean
  /** Ends what is being asked. */
  readonly signal?: AbortSignal | undefined
}

/** A file on the other server, with a function that fetches it. */
export interface RemoteFile {
  /** Path from the root of the run or model. */
  readonly path: string
  /** In bytes; undefined where the server does not say. */
  readonly size: number | undefined
  readonly open: () => Promise<AsyncIterable<Uint8Array>>
}

/** Longest silence of the server. */
const TIMEOUT_MS = 120_000
/** A page is read in one go, and holds up others as long: pages are asked for that come to far less. */
const JSON_BYTES_MAX = 16 * 1024 * 1024
/** Upper limit of nested folders: a deeper listing counts as endless. */
const DEPTH_MAX = 40
/** More folders than a run has, for the same reason. */
const FOLDERS_MAX = 10_000
/** As many pages without anything on them are no search any more. */
const EMPTY_PAGES_MAX = 100
/** An answer may take this long, and as long as its bytes take at {@link SLOWEST}. */
const PATIENCE_MS = 60_000
/** Bytes a millisecond: ten kilobytes a second. */
const SLOWEST = 10
/** Upper limit of a file whose size the server does not say. */
const UNSIZED_BYTES_MAX = 64 * 1024 ** 3

/** Reads an MLflow server, page by page. */
export class TrackingServer {
  readonly #options: TrackingServerOptions
  readonly #base: string

  constructor(options: TrackingServerOptions) {
    this.#options = options
    this.#base = options.url.replace(/\/+$/, '')
  }

  /**
   * Items of all pages of a search; none for a route that an older server does not have.
   * @param items name of the list, in the answer
   */
  search<What extends keyof Theirs>(what: What, path: string, items: string, body: object): AsyncGenerator<Static<Theirs[What]>> {
    return this.#pages(what, items, (token) => this.#json(`/api/2.0/mlflow/${path}`, { ...body, ...token }))
  }

  /** As {@link search}, for a route with GET. */
  list<What extends keyof Theirs>(
    what: What,
    path: string,
    items: string,
    query: Readonly<Record<string, string>>,
  ): AsyncGenerator<Static<Theirs[What]>> {
    return this.#pages(what, items, (token) =>
      this.#json(`/api/2.0/mlflow/${path}?${new URLSearchParams({ ...query, ...token }).toString()}`),
    )
  }

  /** Items of all pages. @param ask reads a page by the token of the page before; returns undefined if there is no such route */
  async *#pages<What extends keyof Theirs>(
    what: What,
    items: string,
    ask: (token: Readonly<Record<string, string>>) => Promise<Record<string, unknown> | undefined>,
  ): AsyncGenerator<Static<Theirs[What]>> {
    let empty = 0
    for (let token: Readonly<Record<string, string>> = {}; ;) {
      const page = await ask(token)
      if (page === undefined) return
      const found = page[items] ?? []
      if (!Array.isArray(found)) throw new SlipwayError('SLW_INPUT_INVALID', `${this.#base} has sent ${items} that are no list`)
      for (const item of found) yield requireTheirs(THEIRS[what], what, item)
      const next = page['next_page_token']
      if (typeof next !== 'string' || next === '') return
      empty = found.length === 0 ? empty + 1 : 0
      if (empty > EMPTY_PAGES_MAX || next === token['page_token'])
        throw new SlipwayError('SLW_INPUT_INVALID', `${this.#base} has pages of ${items} without end`)
      token = { page_token: next }
    }
  }

  /** Place of a version's files, which the source may name by another version; undefined if the server does not say. */
  async placeOfVersion(name: string, version: string): Promise<string | undefined> {
    const query = new URLSearchParams({ name, version }).toString()
    const answer = await this.#json(`/api/2.0/mlflow/model-versions/get-download-uri?${query}`)
    const { artifact_uri: place } = requireTheirs(PLACE, 'place of a version', answer ?? {})
    return place === '' ? undefined : place
  }

  /** Every file of a run. */
  runFiles(runId: string): AsyncGenerator<RemoteFile> {
    return this.#filesBelow(
      (folder) => this.list('file', 'artifacts/list', 'files', { run_id: runId, ...(folder !== '' && { path: folder }) }),
      (path) => `/get-artifact?${new URLSearchParams({ run_uuid: runId, path }).toString()}`,
    )
  }

  /** Every file of a logged model. */
  modelFiles(modelId: string): AsyncGenerator<RemoteFile> {
    const base = `logged-models/${encodeURIComponent(modelId)}/artifacts/directories`
    return this.#filesBelow(
      (folder) => this.list('file', base, 'files', folder === '' ? {} : { artifact_directory_path: folder }),
      (path) =>
        `/ajax-api/2.0/mlflow/logged-models/${encodeURIComponent(modelId)}/artifacts/files?${new URLSearchParams({ artifact_file_path: path }).toString()}`,
    )
  }

  async *#filesBelow(
    list: (folder: string) => AsyncGenerator<Static<Theirs['file']>>,
    addressOf: (path: string) => string,
  ): AsyncGenerator<RemoteFile> {
    const folders = [{ path: '', depth: 0 }]
    for (let seen = 0; ; seen++) {
      const folder = folders.pop()
      if (folder === undefined) return
      for await (const { path, is_dir: isFolder = false, file_size: size } of list(folder.path)) {
        if (isFolder) {
          folders.push({ path, depth: folder.depth + 1 })
          // When it is listed, and not when it is looked into: one listing may have more than there is memory for.
          if (seen + folders.length > FOLDERS_MAX || folder.depth >= DEPTH_MAX)
            throw new SlipwayError('SLW_INPUT_INVALID', `${this.#base} lists folders within folders without end`)
        } else
          yield { path, size: numberOf(size), open: async () => this.#steadily(await this.#open(addressOf(path)), UNSIZED_BYTES_MAX, path) }
      }
    }
  }

  /** An answer as it comes; one that comes so slowly that it is meant to keep one waiting, or does not end, is refused. */
  async *#steadily(answer: AsyncIterable<Uint8Array>, limit: number, what: string): AsyncGenerator<Uint8Array> {
    const chunks = answer[Symbol.asyncIterator]()
    let [bytes, waited] = [0, 0]
    try {
      for (;;) {
        const began = performance.now()
        const { value, done = false } = await chunks.next()
        if (done) return
        // Only what is waited for the server counts, and not the time that the chunks take here.
        waited += performance.now() - began
        bytes += (value as Uint8Array).length
        if (bytes > limit) throw new SlipwayError('SLW_INPUT_INVALID', `${this.#base} answers with more than ${limit} bytes for ${what}`)
        if (waited > PATIENCE_MS + bytes / SLOWEST)
          throw new SlipwayError('SLW_UNREACHABLE', `${this.#base} has sent ${bytes} bytes of ${what} in ${Math.round(waited / 1000)} s`)
        yield value as Uint8Array
      }
    } finally {
      await chunks.return?.()
    }
  }

  async #open(path: string, body?: string): Promise<IncomingMessage> {
    const { authorization, allowInside, signal } = this.#options
    const headers = {
      ...(authorization !== undefined && { authorization }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    }
    const asked = {
      method: body === undefined ? 'GET' : 'POST',
      headers,
      timeoutMs: TIMEOUT_MS,
      allowInside,
      signal,
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
      const pieces: Uint8Array[] = []
      for await (const piece of this.#steadily(response, JSON_BYTES_MAX, path.split('?', 1)[0]!)) pieces.push(piece)
      const answer: unknown = JSON.parse(Buffer.concat(pieces).toString('utf8'))
      if (typeof answer !== 'object' || answer === null) throw new SyntaxError('that is no object')
      return answer as Record<string, unknown>
    } catch (error) {
      if (error instanceof SyntaxError)
        throw new SlipwayError('SLW_UNREACHABLE', `${this.#base} answers, and not as MLflow does: ${error.message}`)
      if ((error as { code?: string }).code === 'SLW_NOT_FOUND') return undefined
      throw error
    }
  }
}
