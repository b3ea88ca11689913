/**
 * The server's side of HTTP/2 (RFC 9113) for one kind of client: one that sends requests and reads answers, without push and priorities.
 * Of our own because it is on the way of every prediction over gRPC, where node:http2 takes more time than the prediction
 * (docs/decisions/0028).
 */
import { Allowance } from './allowance.ts'
import { CompressionError, HeaderDecoder } from './hpack.ts'
import {
  FLAG,
  FRAME,
  frame,
  FRAME_BYTES,
  FRAME_BYTES_MOST,
  goAwayFrame,
  HEAD_BYTES,
  headerFrames,
  numberFrame,
  PREFACE,
  REASON,
  SETTING,
  settingsFrame,
  WINDOW_BYTES,
  WINDOW_MOST,
  writeHead,
} from './frames.ts'
import { requestIssue } from './request-headers.ts'
import { Stream } from './stream.ts'
import type { Socket } from 'node:net'
import type { Reason } from './frames.ts'
import type { Header } from './hpack.ts'

export interface ConnectionHost {
  readonly limits: ConnectionLimits
  /** Takes a request whose headers have come: sets what its data go to. */
  begin(stream: Stream, connection: Connection): void
  /** Answers a client that speaks something else, with its first bytes. Its connection is ended then. */
  foreign(socket: Socket, first: Buffer): void
  /** Hears of an error that is ours; the connection ends. */
  failed(error: unknown): void
  readonly nowMs: () => number
}

export interface ConnectionLimits {
  /** Largest head of a request. */
  readonly headerBytes: number
  /** Most streams at a time. */
  readonly streams: number
}

/** Window of a connection: it is the streams that have limits. */
const CONNECTION_WINDOW = 2 ** 30
/** Bytes that wait in the socket: no more is written beyond, and nothing is read beyond the larger one, so that answers to pings have a limit. */
const WRITE_MARK = 256 * 1024
const READ_MARK = 1024 * 1024
/** What a client may send of frames that bring nothing forward. */
const IDLE_FRAMES = { burst: 10_000, perSecond: 2000 }
/** Streams that a client may begin and take back, or break so that we end them: each has cost us the work of a request. */
const RESETS = { burst: 1000, perSecond: 100 }
/**
 * Such frames that an answer allows for, and a frame of data of it: clients tell what they have read (WINDOW_UPDATE of the stream and of the
 * connection), and measure their line by pings, as grpc-go and the C core do.
 */
const FRAMES_PER_ANSWER = 8
const FRAMES_PER_DATA = 4
/** Streams that we have ended, and of which some may still be on its way. */
const ENDED_KEPT = 1000

/** A violation after which nothing of the connection can be trusted. */
class Violation extends Error {
  readonly reason: Reason

  constructor(reason: Reason, message: string) {
    super(message)
    this.reason = reason
  }
}

interface Block {
  readonly stream: number
  readonly ends: boolean
  parts: Buffer[]
  size: number
}

export class Connection {
  readonly socket: Socket
  readonly #host: ConnectionHost
  readonly #decoder = new HeaderDecoder()
  readonly #streams = new Map<number, Stream>()
  /** Streams whose answer waits for room of the connection or of the socket, and those that wait for room of their own. */
  readonly #blocked = new Set<Stream>()
  readonly #shut = new Set<Stream>()
  readonly #ended = new Set<number>()
  readonly #idleFrames: Allowance
  readonly #resets: Allowance
  #preface = false
  #settled = false
  #rest: Buffer | undefined
  /** The frame of data that is coming: bytes of it, and of its padding, that are missing. */
  #dataStream: Stream | undefined
  #dataLeft = 0
  #paddingLeft = 0
  #dataEnds = false
  #block: Block | undefined
  /** The last stream that has begun, and the last that was taken. */
  #lastStream = 0
  #lastTaken = 0
  #receiveWindow = WINDOW_BYTES
  #sendWindow = WINDOW_BYTES
  /** What the other side has said of its streams. */
  #peerWindow = WINDOW_BYTES
  #peerFrameBytes = FRAME_BYTES
  #out: Buffer[] = []
  #outBytes = 0
  #closing = false
  #closed = false
  /** Monotonic milliseconds when it was opened, when bytes came last, and when a ping was sent that has not been answered. */
  readonly openedMs: number
  #heardMs: number
  #pingedMs: number | undefined

  constructor(socket: Socket, host: ConnectionHost) {
    this.socket = socket
    this.#host = host
    const nowMs = host.nowMs()
    this.openedMs = nowMs
    this.#heardMs = nowMs
    this.#idleFrames = new Allowance(IDLE_FRAMES, nowMs)
    this.#resets = new Allowance(RESETS, nowMs)
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('drain', () => this.#drained())
    socket.on('end', () => this.#halfClosed())
    socket.on('error', () => {})
    socket.on('close', () => this.#gone())
  }

  /** Streams whose answer is not complete. */
  get busy(): number {
    return this.#streams.size
  }

  /** Whether the client has begun as clients of HTTP/2 do. */
  get begun(): boolean {
    return this.#settled
  }

  get heardMs(): number {
    return this.#heardMs
  }

  /** When the ping was sent that has not been answered; undefined where there is none. */
  get pingedMs(): number | undefined {
    return this.#pingedMs
  }

  streams(): Iterable<Stream> {
    return this.#streams.values()
  }

  /** Asks whether the client is still there. */
  ping(): void {
    this.#pingedMs = this.#host.nowMs()
    this.#write(frame(FRAME.ping, 0, 0, Buffer.alloc(8)))
  }

  /** Tells the client to open another connection for what comes next; requests that are on their way are still taken. */
  announceClose(): void {
    if (this.#settled && !this.#closing && !this.#closed) this.#write(goAwayFrame(WINDOW_MOST, REASON.none, 'the server is shutting down'))
  }

  /** Takes no more requests, and ends once those that it has are answered. */
  close(): void {
    if (this.#closing || this.#closed) return
    this.#closing = true
    if (this.#settled) this.#write(goAwayFrame(this.#lastTaken, REASON.none, 'the server is shutting down'))
    this.#endIfIdle()
  }

  abort(): void {
    this.socket.destroy()
  }

  /** Ends streams whose client has had no room for an answer for so long. */
  endStalled(nowMs: number, stallMs: number): void {
    for (const stream of [...this.#blocked, ...this.#shut]) if (stream.stalledMs(nowMs) > stallMs) this.#failStream(stream, REASON.cancel)
  }

  #endIfIdle(): void {
    if (!this.#closing || this.#streams.size > 0 || this.#closed) return
    this.#closed = true
    this.#flush()
    this.socket.end()
    // A client that does not close its side must not keep the server from ending.
    setTimeout(() => this.socket.destroy(), 1000).unref()
  }

  /** A client that has closed its side may still read. The ping finds one that is gone. */
  #halfClosed(): void {
    this.#closing = true
    if (this.#streams.size > 0) this.ping()
    this.#endIfIdle()
  }

  #gone(): void {
    this.#closed = true
    const streams = [...this.#streams.values()]
    this.#streams.clear()
    this.#blocked.clear()
    this.#shut.clear()
    for (const stream of streams) stream.taker.gone()
  }

  #receive(chunk: Buffer): void {
    if (this.#closed) return
    this.#heardMs = this.#host.nowMs()
    try {
      const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
      this.#rest = undefined
      const at = this.#take(bytes)
      if (at < bytes.length && !this.#closed) this.#rest = bytes.subarray(at)
    } catch (error) {
      if (error instanceof Violation) this.#endFor(error.reason, error.message)
      else if (error instanceof CompressionError) this.#endFor(REASON.compression, error.message)
      else {
        this.#host.failed(error)
        this.#endFor(REASON.internal, 'the server failed')
      }
    }
    if (this.socket.writableLength > READ_MARK) this.socket.pause()
  }

  #drained(): void {
    this.socket.resume()
    this.#pumpBlocked()
  }

  #endFor(reason: Reason, text: string): void {
    if (this.#closed) return
    this.#write(goAwayFrame(this.#lastTaken, reason, text))
    this.#flush()
    const { socket } = this
    this.#gone()
    socket.end()
    socket.resume()
    setTimeout(() => socket.destroy(), 1000).unref()
  }

  /** @returns where the frame begins that is not complete */
  #take(bytes: Buffer): number {
    let at = 0
    if (!this.#preface) {
      at = this.#takePreface(bytes)
      if (at === 0) return 0
    }
    while (!this.#closed) {
      if (this.#dataLeft > 0 || this.#paddingLeft > 0) {
        if (at === bytes.length) break
        at = this.#takeData(bytes, at)
        continue
      }
      if (bytes.length - at < HEAD_BYTES) break
      const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!
      const type = bytes[at + 3]!
      const flags = bytes[at + 4]!
      const id = bytes.readUInt32BE(at + 5) & 0x7fff_ffff
      if (length > FRAME_BYTES) throw new Violation(REASON.frameSize, `a frame of ${length} bytes; ${FRAME_BYTES} were offered`)
      if (!this.#settled && type !== FRAME.settings) throw new Violation(REASON.protocol, 'the first frame is no SETTINGS')
      if (this.#block !== undefined && (type !== FRAME.continuation || id !== this.#block.stream))
        throw new Violation(REASON.protocol, 'a block of headers is interrupted')
      if (type === FRAME.data) {
        const padded = (flags & FLAG.padded) !== 0
        if (padded && bytes.length - at === HEAD_BYTES && length > 0) break
        const padding = padded && length > 0 ? bytes[at + HEAD_BYTES]! : 0
        this.#beginData(id, { length, padding, padded, ends: (flags & FLAG.endStream) !== 0 })
        at += HEAD_BYTES + (padded ? 1 : 0)
        continue
      }
      if (bytes.length - at < HEAD_BYTES + length) break
      this.#takeFrame(type, flags, id, bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length))
      at += HEAD_BYTES + length
    }
    return at
  }

  /** @returns how much of the bytes it was; 0 where more has to come, or the client speaks something else */
  #takePreface(bytes: Buffer): number {
    const known = Math.min(bytes.length, PREFACE.length)
    if (bytes.toString('latin1', 0, known) !== PREFACE.slice(0, known)) {
      this.#closed = true
      this.#host.foreign(this.socket, bytes)
      return 0
    }
    if (bytes.length < PREFACE.length) return 0
    this.#preface = true
    const { streams, headerBytes } = this.#host.limits
    this.#write(
      Buffer.concat([
        settingsFrame([
          [SETTING.streams, streams],
          [SETTING.headerListBytes, headerBytes],
        ]),
        numberFrame(FRAME.windowUpdate, 0, CONNECTION_WINDOW - WINDOW_BYTES),
      ]),
    )
    this.#receiveWindow = CONNECTION_WINDOW
    return PREFACE.length
  }

  #beginData(id: number, { length, padding, padded, ends }: { length: number; padding: number; padded: boolean; ends: boolean }): void {
    if (id === 0) throw new Violation(REASON.protocol, 'data of no stream')
    if (padded && padding >= length) throw new Violation(REASON.protocol, 'padding as long as its frame')
    const payload = length - (padded ? 1 : 0) - padding
    this.#receiveWindow -= length
    if (this.#receiveWindow < 0) throw new Violation(REASON.flowControl, 'more data than the connection had room for')
    if (this.#receiveWindow < CONNECTION_WINDOW / 2) {
      this.#write(numberFrame(FRAME.windowUpdate, 0, CONNECTION_WINDOW - this.#receiveWindow))
      this.#receiveWindow = CONNECTION_WINDOW
    }
    if (payload === 0 && !ends) this.#idle()
    let stream = this.#streams.get(id)
    if (stream === undefined || stream.remoteEnded) {
      if (id > this.#lastStream) throw new Violation(REASON.protocol, `data of the stream ${id}, which has not begun`)
      if (stream !== undefined) this.#break(stream, REASON.streamClosed)
      else if (!this.#ended.has(id)) {
        this.#idle()
        this.#resetStream(id, REASON.streamClosed)
      }
      stream = undefined
    } else if (!stream.received(length, length - payload)) {
      this.#break(stream, REASON.flowControl)
      stream = undefined
    }
    this.#dataStream = stream
    this.#dataLeft = payload
    this.#paddingLeft = padding
    this.#dataEnds = ends
    if (payload === 0 && padding === 0) this.#dataDone()
  }

  #takeData(bytes: Buffer, at: number): number {
    const size = Math.min(this.#dataLeft, bytes.length - at)
    if (size > 0) {
      this.#dataLeft -= size
      const stream = this.#dataStream
      if (stream !== undefined) {
        stream.arriving = this.#dataLeft
        stream.taker.data(bytes.subarray(at, at + size))
      }
    }
    const padding = Math.min(this.#paddingLeft, bytes.length - at - size)
    this.#paddingLeft -= padding
    if (this.#dataLeft === 0 && this.#paddingLeft === 0) this.#dataDone()
    return at + size + padding
  }

  #dataDone(): void {
    const stream = this.#dataStream
    this.#dataStream = undefined
    if (this.#dataEnds && stream !== undefined && this.#streams.has(stream.id)) this.#remoteEnd(stream)
  }

  #remoteEnd(stream: Stream): void {
    if (!stream.endRemote()) this.#break(stream, REASON.protocol)
  }

  #takeFrame(type: number, flags: number, id: number, payload: Buffer): void {
    switch (type) {
      case FRAME.headers:
        this.#takeHeaders(flags, id, payload)
        return
      case FRAME.continuation:
        this.#takeContinuation(flags, payload)
        return
      case FRAME.windowUpdate:
        this.#takeWindowUpdate(id, payload)
        return
      case FRAME.reset:
        this.#takeReset(id, payload)
        return
      case FRAME.settings:
        this.#takeSettings(flags, id, payload)
        return
      case FRAME.ping:
        this.#takePing(flags, id, payload)
        return
      case FRAME.priority:
        this.#idle()
        if (id === 0) throw new Violation(REASON.protocol, 'priority of no stream')
        if (payload.length !== 5) this.#badStream(id, REASON.frameSize)
        else if ((payload.readUInt32BE(0) & 0x7fff_ffff) === id) this.#badStream(id, REASON.protocol)
        return
      case FRAME.goAway:
        if (id !== 0) throw new Violation(REASON.protocol, 'GOAWAY of a stream')
        this.#closing = true
        this.#endIfIdle()
        return
      case FRAME.pushPromise:
        throw new Violation(REASON.protocol, 'a client that pushes')
      default:
        this.#idle()
    }
  }

  /** Counts a frame that brings nothing forward. */
  #idle(): void {
    if (!this.#idleFrames.take(this.#host.nowMs())) throw new Violation(REASON.calm, 'too many frames that bring nothing forward')
  }

  #takeHeaders(flags: number, id: number, payload: Buffer): void {
    if (id === 0) throw new Violation(REASON.protocol, 'headers of no stream')
    if (id % 2 === 0) throw new Violation(REASON.protocol, `a client does not begin the stream ${id}`)
    let start = 0
    let end = payload.length
    if ((flags & FLAG.padded) !== 0) {
      end -= payload[0] ?? 0
      start = 1
    }
    let dependsOnItself = false
    if ((flags & FLAG.priority) !== 0) {
      dependsOnItself = end - start >= 5 && (payload.readUInt32BE(start) & 0x7fff_ffff) === id
      start += 5
    }
    if (end < start) throw new Violation(REASON.protocol, 'padding as long as its frame')
    const ends = (flags & FLAG.endStream) !== 0
    this.#block = { stream: id, ends, parts: [], size: 0 }
    this.#addToBlock(payload.subarray(start, end), (flags & FLAG.endHeaders) !== 0)
    if (dependsOnItself) this.#badStream(id, REASON.protocol)
  }

  #takeContinuation(flags: number, payload: Buffer): void {
    if (this.#block === undefined) throw new Violation(REASON.protocol, 'a continuation of nothing')
    if (payload.length === 0) this.#idle()
    this.#addToBlock(payload, (flags & FLAG.endHeaders) !== 0)
  }

  #addToBlock(part: Buffer, complete: boolean): void {
    const block = this.#block!
    block.size += part.length
    // A block that is not decoded would break the table. Compressed it is smaller than its headers, so this one is too large for sure.
    if (block.size > 2 * this.#host.limits.headerBytes) throw new Violation(REASON.calm, 'the headers are far too large')
    if (!complete) {
      // The part is a view of the socket's chunk, and waits.
      block.parts.push(Buffer.from(part))
      return
    }
    this.#block = undefined
    const bytes = block.parts.length === 0 ? part : Buffer.concat([...block.parts, part])
    this.#headersDone(block.stream, this.#decoder.decode(bytes, this.#host.limits.headerBytes), block.ends)
  }

  #headersDone(id: number, headers: Header[] | undefined, ends: boolean): void {
    const open = this.#streams.get(id)
    if (open !== undefined) {
      if (open.remoteEnded) throw new Violation(REASON.streamClosed, `headers of the stream ${id}, which has ended`)
      // Trailers: clients of gRPC have none, and nothing is read of them.
      if (!ends || headers?.some(({ name, valid }) => !valid || name.startsWith(':')) === true) this.#break(open, REASON.protocol)
      else this.#remoteEnd(open)
      return
    }
    if (id <= this.#lastStream) {
      if (this.#ended.has(id)) return
      throw new Violation(REASON.streamClosed, `headers of the stream ${id}, which has ended`)
    }
    this.#lastStream = id
    // What has been sent before the client could know is refused, and harms nothing that is on its way.
    if (this.#closing || this.#streams.size >= this.#host.limits.streams) {
      this.#idle()
      this.#resetStream(id, REASON.refused)
      return
    }
    if (headers !== undefined && requestIssue(headers) !== undefined) {
      this.#resetStream(id, REASON.protocol)
      return
    }
    this.#lastTaken = id
    const stream = new Stream(id, headers, { window: this.#peerWindow, ended: ends, host: this })
    this.#streams.set(id, stream)
    this.#host.begin(stream, this)
    if (ends && this.#streams.has(id)) this.#remoteEnd(stream)
  }

  #takeWindowUpdate(id: number, payload: Buffer): void {
    if (payload.length !== 4) throw new Violation(REASON.frameSize, 'a WINDOW_UPDATE that is not of 4 bytes')
    const more = payload.readUInt32BE(0) & 0x7fff_ffff
    if (id === 0) {
      if (more === 0) throw new Violation(REASON.protocol, 'a WINDOW_UPDATE of nothing')
      if (this.#blocked.size === 0) this.#idle()
      this.#sendWindow += more
      if (this.#sendWindow > WINDOW_MOST) throw new Violation(REASON.flowControl, 'a window beyond all bounds')
      this.#pumpBlocked()
      return
    }
    if (id > this.#lastStream) throw new Violation(REASON.protocol, `a window of the stream ${id}, which has not begun`)
    const stream = this.#streams.get(id)
    if (stream === undefined || stream.waiting === 0) this.#idle()
    if (stream === undefined) return
    if (more === 0) this.#break(stream, REASON.protocol)
    else if (!stream.widen(more)) this.#break(stream, REASON.flowControl)
    else this.pump(stream)
  }

  #takeReset(id: number, payload: Buffer): void {
    if (payload.length !== 4) throw new Violation(REASON.frameSize, 'an RST_STREAM that is not of 4 bytes')
    if (id === 0 || id > this.#lastStream) throw new Violation(REASON.protocol, 'the end of a stream that has not begun')
    this.#takeBack()
    const stream = this.#streams.get(id)
    this.#forget(id)
    stream?.taker.gone()
  }

  #takeSettings(flags: number, id: number, payload: Buffer): void {
    if (id !== 0) throw new Violation(REASON.protocol, 'settings of a stream')
    if ((flags & FLAG.ack) !== 0) {
      if (payload.length > 0) throw new Violation(REASON.frameSize, 'an acknowledgement with settings')
      this.#idle()
      return
    }
    if (payload.length % 6 !== 0) throw new Violation(REASON.frameSize, 'settings that are cut off')
    if (this.#settled) this.#idle()
    this.#settled = true
    let window = this.#peerWindow
    for (let at = 0; at < payload.length; at += 6) {
      const setting = payload.readUInt16BE(at)
      const value = payload.readUInt32BE(at + 2)
      this.#set(setting, value)
      if (setting === SETTING.window) window = value
    }
    this.#write(frame(FRAME.settings, FLAG.ack, 0, Buffer.alloc(0)))
    this.#widenAll(window)
  }

  /** Once a frame, as it takes a look at every stream. */
  #widenAll(window: number): void {
    const more = window - this.#peerWindow
    if (more === 0) return
    this.#peerWindow = window
    for (const stream of this.#streams.values())
      if (!stream.widen(more)) throw new Violation(REASON.flowControl, 'a window beyond all bounds')
    if (more > 0) for (const stream of Array.from(this.#shut)) this.pump(stream)
  }

  #set(setting: number, value: number): void {
    if (setting === SETTING.push && value > 1) throw new Violation(REASON.protocol, 'ENABLE_PUSH is neither 0 nor 1')
    if (setting === SETTING.frameBytes) {
      if (value < FRAME_BYTES || value > FRAME_BYTES_MOST) throw new Violation(REASON.protocol, `MAX_FRAME_SIZE ${value}`)
      this.#peerFrameBytes = Math.min(value, WRITE_MARK)
    }
    if (setting === SETTING.window && value > WINDOW_MOST) throw new Violation(REASON.flowControl, `INITIAL_WINDOW_SIZE ${value}`)
  }

  #takePing(flags: number, id: number, payload: Buffer): void {
    if (id !== 0) throw new Violation(REASON.protocol, 'a ping of a stream')
    if (payload.length !== 8) throw new Violation(REASON.frameSize, 'a ping that is not of 8 bytes')
    if ((flags & FLAG.ack) !== 0) {
      this.#pingedMs = undefined
      return
    }
    this.#idle()
    this.#write(frame(FRAME.ping, FLAG.ack, 0, payload))
  }

  #badStream(id: number, reason: Reason): void {
    const stream = this.#streams.get(id)
    if (stream !== undefined) this.#break(stream, reason)
    else this.#resetStream(id, reason)
  }

  /** Ends a stream that its client has broken: that is a way to take a request back, too. */
  #break(stream: Stream, reason: Reason): void {
    this.#takeBack()
    this.#failStream(stream, reason)
  }

  #takeBack(): void {
    if (!this.#resets.take(this.#host.nowMs())) throw new Violation(REASON.calm, 'too many requests that are taken back')
  }

  #failStream(stream: Stream, reason: Reason): void {
    this.#resetStream(stream.id, reason)
    stream.taker.gone()
    this.#forget(stream.id)
  }

  #resetStream(id: number, reason: Reason): void {
    this.#write(numberFrame(FRAME.reset, id, reason))
    this.#ended.add(id)
    if (this.#ended.size > ENDED_KEPT)
      for (const oldest of this.#ended) {
        this.#ended.delete(oldest)
        break
      }
  }

  #forget(id: number): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    this.#streams.delete(id)
    this.#blocked.delete(stream)
    this.#shut.delete(stream)
    this.#endIfIdle()
  }

  /** For {@link Stream}: lets the client send more. */
  allow(stream: Stream, bytes: number): void {
    if (this.#streams.has(stream.id)) this.#write(numberFrame(FRAME.windowUpdate, stream.id, bytes))
  }

  /** For {@link Stream}: ends it for a reason. */
  reset(stream: Stream, reason: Reason): void {
    if (!this.#streams.has(stream.id)) return
    this.#resetStream(stream.id, reason)
    this.#forget(stream.id)
  }

  /** For {@link Stream}: a whole answer that fits the windows. @returns whether it does */
  sendWhole(stream: Stream, head: string, data: Buffer, trailers: string): boolean {
    const size = data.length
    if (size > Math.min(this.#sendWindow, stream.window, FRAME_BYTES) || head.length > FRAME_BYTES || trailers.length > FRAME_BYTES)
      return false
    if (!this.#streams.has(stream.id)) return true
    this.#sendWindow -= size
    stream.spend(size)
    const { id } = stream
    const bytes = Buffer.allocUnsafe(3 * HEAD_BYTES + head.length + size + trailers.length)
    let at = writeHead(bytes, 0, { length: head.length, type: FRAME.headers, flags: FLAG.endHeaders, stream: id })
    at += bytes.write(head, at, 'latin1')
    at = writeHead(bytes, at, { length: size, type: FRAME.data, flags: 0, stream: id })
    bytes.set(data, at)
    at += size
    at = writeHead(bytes, at, { length: trailers.length, type: FRAME.headers, flags: FLAG.endHeaders | FLAG.endStream, stream: id })
    bytes.write(trailers, at, 'latin1')
    this.#write(bytes)
    this.#localEnd(stream)
    return true
  }

  /** For {@link Stream}: headers, also those that end it. */
  sendHeaders(stream: Stream, block: string, ends: boolean): void {
    if (!this.#streams.has(stream.id)) return
    this.#write(headerFrames(stream.id, block, ends))
    if (ends) this.#localEnd(stream)
  }

  #localEnd(stream: Stream): void {
    this.#idleFrames.give(FRAMES_PER_ANSWER)
    // What the client still sends is not wanted (section 8.1).
    if (!stream.remoteEnded) this.#resetStream(stream.id, REASON.none)
    // Who hedges takes many back, beside those that are answered.
    this.#resets.give(1)
    this.#forget(stream.id)
  }

  /** For {@link Stream}: sends what waits, as far as the windows let it. */
  pump(stream: Stream): void {
    if (!this.#streams.has(stream.id)) return
    while (stream.waiting > 0) {
      const room = Math.min(this.#sendWindow, stream.window, this.#peerFrameBytes)
      if (room <= 0 || this.#unwritten > WRITE_MARK) {
        this.#wait(stream)
        return
      }
      this.#idleFrames.give(FRAMES_PER_DATA)
      const parts = stream.shift(room)
      let size = 0
      for (const part of parts) size += part.length
      this.#sendWindow -= size
      const head = Buffer.allocUnsafe(HEAD_BYTES)
      writeHead(head, 0, { length: size, type: FRAME.data, flags: 0, stream: stream.id })
      this.#write(head)
      for (const part of parts) this.#write(part)
    }
    const waited = this.#blocked.delete(stream) || this.#shut.delete(stream)
    const trailers = stream.takeTrailers()
    if (trailers !== undefined) this.sendHeaders(stream, trailers, true)
    else if (waited) stream.taker.drained?.()
  }

  #wait(stream: Stream): void {
    // Behind the others, so that the first does not take all of the window.
    this.#blocked.delete(stream)
    this.#shut.delete(stream)
    ;(stream.window > 0 ? this.#blocked : this.#shut).add(stream)
  }

  /** Stops as soon as there is no room, as a client may widen it byte by byte. */
  #pumpBlocked(): void {
    let left = this.#blocked.size
    for (const stream of this.#blocked) {
      if (left-- === 0 || this.#sendWindow <= 0 || this.#unwritten > WRITE_MARK) break
      this.pump(stream)
    }
  }

  /** Bytes that have not left this process. */
  get #unwritten(): number {
    return this.#outBytes + this.socket.writableLength
  }

  /** Frames of one turn of the event loop go out together. */
  #write(bytes: Buffer): void {
    if (this.socket.destroyed) return
    if (this.#out.length === 0) process.nextTick(this.#flush)
    this.#out.push(bytes)
    this.#outBytes += bytes.length
  }

  readonly #flush = (): void => {
    const out = this.#out
    const size = this.#outBytes
    if (out.length === 0) return
    this.#out = []
    this.#outBytes = 0
    const { socket } = this
    if (socket.destroyed || socket.writableEnded) return
    if (out.length === 1) socket.write(out[0]!)
    else if (size <= JOINED_BYTES) socket.write(Buffer.concat(out, size))
    else {
      socket.cork()
      for (const bytes of out) socket.write(bytes)
      socket.uncork()
    }
  }
}

/** Frames up to this size together are copied into one piece. */
const JOINED_BYTES = 16 * 1024
