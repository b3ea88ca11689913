import { Worker } from 'node:worker_threads'
import { entryUrl, workerEnvironment } from '../../core/entry.ts'
import { SlipwayError } from '../../core/errors.ts'
import { UNAVAILABLE_CODES } from './sqlite-codes.ts'
import { StatementError } from './statement-error.ts'
import type { SqliteAnswer, SqliteFailure, SqliteQuestion, SqliteRequest, SqliteRows, SqliteThreadData } from './sqlite-messages.ts'

interface Waiting {
  readonly request: SqliteRequest | undefined
  resolve(rows: SqliteRows): void
  reject(error: Error): void
}

/** The thread that holds the connections to a SQLite file, seen from outside: one message there and one back. */
export class SqliteThread {
  readonly #file: string
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #exited: Promise<void>
  #lastId = 0
  #ended: SlipwayError | undefined

  private constructor(data: SqliteThreadData) {
    this.#file = data.file
    this.#worker = new Worker(entryUrl('storage/sql/sqlite-worker'), {
      name: 'slipway database',
      env: workerEnvironment(),
      workerData: data,
    })
    this.#worker.on('message', (answer: SqliteAnswer) => this.#answered(answer))
    let why = 'its thread ended'
    this.#worker.on('error', (error: Error) => (why = `its thread ended: ${error.message}`))
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        this.#fail(new SlipwayError('SLW_DATABASE_UNAVAILABLE', `the database ${this.#file} does not answer: ${why}`))
        resolve()
      })
    })
  }

  /** @throws SLW_DATABASE_UNAVAILABLE when the file cannot be opened */
  static async open(data: SqliteThreadData): Promise<SqliteThread> {
    const thread = new SqliteThread(data)
    try {
      await thread.#answerTo(0, undefined)
    } catch (error) {
      await thread.#exited
      throw error
    }
    return thread
  }

  /** Whether the thread has ended without having been closed: requests to it fail. */
  get broken(): boolean {
    return this.#ended?.code === 'SLW_DATABASE_UNAVAILABLE'
  }

  ask(request: SqliteRequest): Promise<SqliteRows> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    const id = ++this.#lastId
    const answer = this.#answerTo(id, request)
    this.#worker.postMessage({ id, ...request } satisfies SqliteQuestion, [])
    return answer
  }

  /** Ends the thread after it has answered all earlier requests. */
  async close(): Promise<void> {
    if (this.#ended === undefined) {
      const closed = this.ask({ type: 'close' })
      this.#ended = new SlipwayError('SLW_CLOSED', `the database ${this.#file} was used after it was closed`)
      // Where the thread has ended by itself there is nothing to close.
      await closed.catch(() => {})
    }
    await this.#exited
  }

  #answerTo(id: number, request: SqliteRequest | undefined): Promise<SqliteRows> {
    const { promise, resolve, reject } = Promise.withResolvers<SqliteRows>()
    this.#waiting.set(id, { request, resolve, reject })
    return promise
  }

  #answered(answer: SqliteAnswer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if ('rows' in answer) waiting?.resolve(answer)
    else waiting?.reject(this.#errorOf(answer, waiting.request))
  }

  #errorOf({ code, message, statement: ofCommit }: SqliteFailure, request: SqliteRequest | undefined): Error {
    const statement = request?.type === 'run' ? request.statement : ofCommit
    const error = statement === undefined ? undefined : new StatementError(code, message, statement)
    if (error !== undefined && !UNAVAILABLE_CODES.has(code)) return error
    const doing = request === undefined ? 'cannot be opened' : request.type === 'backup' ? `cannot be copied to ${request.path}` : 'failed'
    return new SlipwayError(
      'SLW_DATABASE_UNAVAILABLE',
      `the database ${this.#file} ${doing}: ${error?.message ?? `${message} (${code})`}`,
      {
        cause: error,
      },
    )
  }

  #fail(error: SlipwayError): void {
    this.#ended ??= error
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
  }
}
