import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { pino } from 'pino'
import { messageOf, SlipwayError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'

const STDERR = 2

/**
 * Destination of log lines: standard error, or a file that may be rotated (`reopen`). A line that cannot be written, as on a
 * full disk, is counted and dropped: a log never ends a server and never takes its memory.
 */
export class LogOutput {
  readonly #file: string | undefined
  #fd: number
  #dropped = 0
  #droppedUntold = 0

  /** @throws SLW_CONFIG_INVALID when the file cannot be opened */
  constructor(file: string | undefined) {
    this.#file = file
    try {
      this.#fd = file === undefined ? STDERR : open(file)
    } catch (error) {
      throw new SlipwayError('SLW_CONFIG_INVALID', `log.file ${file}: ${messageOf(error)}`, { cause: error })
    }
  }

  /** Lines that could not be written. */
  get dropped(): number {
    return this.#dropped
  }

  /** Called by the logger with one line. */
  write(line: string): void {
    try {
      writeAll(this.#fd, line)
      if (this.#droppedUntold > 0) this.#tellDropped()
    } catch {
      this.#dropped++
      this.#droppedUntold++
    }
  }

  #tellDropped(): void {
    const count = this.#droppedUntold
    this.#droppedUntold = 0
    this.write(
      `${JSON.stringify({ level: 40, time: new Date().toISOString(), count, msg: 'log lines were lost: they could not be written' })}\n`,
    )
  }

  /** Begins a new file of the same name, after the old one was moved away. @throws the error of opening it */
  reopen(): void {
    if (this.#file === undefined) return
    const before = this.#fd
    this.#fd = open(this.#file)
    closeSync(before)
  }

  close(): void {
    if (this.#fd !== STDERR) closeSync(this.#fd)
    this.#fd = STDERR
  }
}

/** Reopens the log, as SIGHUP asks. Where that fails, it goes on in the old file, and says so there. */
export function reopenLog(output: LogOutput | undefined, log: Logger): void {
  try {
    output?.reopen()
    log.info({}, 'log opened again')
  } catch (error) {
    log.error({}, `going on with the old log file: ${messageOf(error)}`)
  }
}

function open(file: string): number {
  mkdirSync(dirname(file), { recursive: true })
  return openSync(file, 'a', 0o640)
}

function writeAll(fd: number, line: string): void {
  const bytes = Buffer.from(line)
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at)
}

/** The logger of a server: JSON lines, their level changeable while it runs. */
export function openLogger(output: LogOutput, level: string, fields: object | null = null): Logger {
  return pino({ level, base: fields as Record<string, unknown>, timestamp: pino.stdTimeFunctions.isoTime }, output)
}
