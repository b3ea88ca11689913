import { Worker } from 'node:worker_threads'
import { entryUrl, workerEnvironment } from '../../core/entry.ts'
import { messageOf, SlipwayError } from '../../core/errors.ts'
import { copyTensor, elementCount } from '../../tensor/tensor.ts'
import { READERS } from './readers.ts'
import { WRITERS } from './writers.ts'
import type { ErrorCode, Issue } from '../../core/errors.ts'
import type { ReadBy, ReaderName } from './readers.ts'
import type { Reading, Written } from './types.ts'
import type { WritableBy, WriterName } from './writers.ts'

/** A body to be read or written, as it goes to a thread. */
export type Job =
  | {
      readonly task: 'read'
      readonly name: ReaderName
      readonly reading: Omit<Reading, 'body'> & { readonly shared: SharedArrayBuffer; readonly length: number }
    }
  | { readonly task: 'write'; readonly name: WriterName; readonly answer: WritableBy }

export type Outcome =
  | { readonly done: unknown; readonly failure?: undefined }
  | {
      readonly done?: undefined
      readonly failure: { readonly code: ErrorCode; readonly message: string; readonly issues: readonly Issue[] | undefined }
    }

/** Bodies from this size on are read in a thread: about ten milliseconds of reading. Rows for people take longer than tensors. */
const READ_LARGE: Readonly<Record<ReaderName, number>> = {
  people: 256 * 1024,
  v2: 1024 * 1024,
  generate: 1024 * 1024,
  batch: 512 * 1024,
  mlflow: 256 * 1024,
  container: 256 * 1024,
  azureml: 256 * 1024,
  event: 512 * 1024,
  torchserve: 256 * 1024,
  grpc: 1024 * 1024,
}
/** Pictures are text that is taken as it is, or bytes, and are decoded elsewhere. */
const READ_LARGE_PICTURES = 8 * 1024 * 1024
/** Texts are made into tokens, ten times as slowly as into rows. */
const READ_LARGE_TEXTS = 32 * 1024
/** Answers from this size on are written in a thread: about five milliseconds of writing. */
const WRITE_LARGE_ROWS = 500
const WRITE_LARGE_ELEMENTS = 32 * 1024
/** A thread is started, which takes a tenth of a second, for bodies that are so many times as large. */
const WORTH_STARTING = 4
/** A thread that has had nothing to do for so long ends, and gives its memory back. */
const IDLE_MS = 300_000

interface Waiting {
  readonly job: Job
  readonly moved: readonly ArrayBuffer[]
  readonly resolve: (done: unknown) => void
  readonly reject: (error: SlipwayError) => void
}

/**
 * Reads and writes the bodies of a server: small ones at once, large ones in threads, so that nobody waits for the body of another. Threads
 * are started when they are needed.
 */
export class BodyThreads implements AsyncDisposable {
  readonly #most: number
  /** Answers come before bodies: they take less time, and their work is done. */
  readonly #waiting: Readonly<Record<Job['task'], Waiting[]>> = { write: [], read: [] }
  #closed = false
  readonly #threads = new Set<BodyThread>()

  /** @param most threads at a time */
  constructor(most: number) {
    this.#most = most
  }

  /** @throws as the reader */
  read<Name extends ReaderName>(name: Name, reading: Reading): ReadBy<Name> | Promise<ReadBy<Name>> {
    const { body, ...rest } = reading
    const shared = body.buffer instanceof SharedArrayBuffer
    const large = largeFor(name, reading.signature)
    if (body.length < large * this.#reluctance) {
      // The memory of tensors goes on to the instances, which that of a shared body cannot.
      const own = shared ? { ...rest, body: Buffer.from(new Uint8Array(body).buffer) } : reading
      return READERS[name](own) as ReadBy<Name> | Promise<ReadBy<Name>>
    }
    const job: Job = { task: 'read', name, reading: { ...rest, shared: sharedOf(body), length: body.length } }
    return this.#run(job, []) as Promise<ReadBy<Name>>
  }

  write<Name extends WriterName>(name: Name, answer: WritableBy<Name>): Written | Promise<Written> {
    if (sizeOf(answer) < this.#reluctance) return WRITERS[name](answer as never)
    // Outputs may be parts of a batch, whose memory is that of other requests too.
    const outputs = answer.outputs.map(copyTensor)
    const moved = outputs.flatMap(({ data }) => (Array.isArray(data) ? [] : [data.buffer as ArrayBuffer]))
    return this.#run({ task: 'write', name, answer: { ...answer, outputs } }, moved).then((done) => {
      const { bytes, headerLength } = done as { readonly bytes: Uint8Array; readonly headerLength: number | undefined }
      return { body: Buffer.from(bytes.buffer), headerLength }
    })
  }

  get #reluctance(): number {
    return this.#threads.size === 0 ? WORTH_STARTING : 1
  }

  #run(job: Job, moved: readonly ArrayBuffer[]): Promise<unknown> {
    if (this.#closed) return Promise.reject(closed())
    return new Promise((resolve, reject) => {
      this.#waiting[job.task].push({ job, moved, resolve, reject })
      this.#next()
    })
  }

  #next(): void {
    const { write, read } = this.#waiting
    while (write.length + read.length > 0) {
      const thread = [...this.#threads].find(({ busy }) => !busy) ?? this.#start()
      if (thread === undefined) return
      void thread.run((write.shift() ?? read.shift())!).then(() => this.#next())
    }
  }

  #start(): BodyThread | undefined {
    if (this.#threads.size >= this.#most) return undefined
    const thread = new BodyThread(() => {
      this.#threads.delete(thread)
      this.#next()
    })
    this.#threads.add(thread)
    return thread
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    const { write, read } = this.#waiting
    for (const { reject } of [...write.splice(0), ...read.splice(0)]) reject(closed())
    await Promise.all([...this.#threads].map((thread) => thread.end()))
  }
}

/** Bytes from which on a body is read in a thread. */
function largeFor(name: ReaderName, { image, text }: Reading['signature']): number {
  if (text !== undefined && name === 'people') return READ_LARGE_TEXTS
  return image === undefined ? READ_LARGE[name] : READ_LARGE_PICTURES
}

/** The memory of a body: as it was collected where that is shared, else a copy, as the body may be read again for another version. */
function sharedOf(body: Buffer): SharedArrayBuffer {
  if (body.buffer instanceof SharedArrayBuffer && body.byteOffset === 0) return body.buffer
  const shared = new SharedArrayBuffer(body.length)
  new Uint8Array(shared).set(body)
  return shared
}

function closed(): SlipwayError {
  return new SlipwayError('SLW_CLOSED', 'the server is closed')
}

/** In multiples of what is large. */
function sizeOf(answer: WritableBy): number {
  let elements = 0
  for (const { shape } of answer.outputs) elements += elementCount(shape)
  return Math.max('rows' in answer ? answer.rows / WRITE_LARGE_ROWS : 0, elements / WRITE_LARGE_ELEMENTS)
}

class BodyThread {
  readonly #worker: Worker
  #current: { readonly waiting: Waiting; readonly done: () => void } | undefined
  #idle: NodeJS.Timeout | undefined
  #ending = false

  constructor(onEnd: () => void) {
    this.#worker = new Worker(entryUrl('protocol/bodies/thread'), { env: workerEnvironment(), name: 'bodies' })
    this.#worker.on('message', (outcome: Outcome) => this.#settle(outcome))
    this.#worker.once('error', (error: NodeJS.ErrnoException) => {
      this.#ending = true
      const tooLarge = error.code === 'ERR_WORKER_OUT_OF_MEMORY'
      this.#fail(
        tooLarge ? 'SLW_BODY_TOO_LARGE' : 'SLW_INTERNAL',
        tooLarge ? 'the body takes more memory than a thread may have' : `the thread for large bodies failed: ${error.message}`,
      )
    })
    this.#worker.once('exit', () => {
      this.#ending = true
      clearTimeout(this.#idle)
      onEnd()
      this.#fail('SLW_CLOSED', 'the thread for large bodies has ended')
    })
    this.#worker.unref()
  }

  /** Whether it can take no job: it has one, or ends. */
  get busy(): boolean {
    return this.#current !== undefined || this.#ending
  }

  /** Resolves when the job is done, or has failed. */
  run(waiting: Waiting): Promise<void> {
    clearTimeout(this.#idle)
    return new Promise((done) => {
      this.#current = { waiting, done }
      try {
        this.#worker.postMessage(waiting.job, waiting.moved)
      } catch (error) {
        this.#fail('SLW_INTERNAL', `the body cannot be given to a thread: ${messageOf(error)}`)
      }
    })
  }

  #fail(code: ErrorCode, message: string): void {
    this.#settle({ failure: { code, message, issues: undefined } })
  }

  #settle({ done, failure }: Outcome): void {
    const current = this.#current
    if (current === undefined) return
    this.#current = undefined
    this.#idle = setTimeout(() => void this.end(), IDLE_MS).unref()
    const { resolve, reject } = current.waiting
    if (failure === undefined) resolve(done)
    else reject(new SlipwayError(failure.code, failure.message, failure.issues === undefined ? {} : { issues: failure.issues }))
    current.done()
  }

  async end(): Promise<void> {
    this.#ending = true
    await this.#worker.terminate()
  }
}
