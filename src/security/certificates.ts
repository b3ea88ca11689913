import { X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { messageOf, SlipwayError } from '../core/errors.ts'
import { readSecretFile } from './secret-file.ts'
import type { SecureContextOptions } from 'node:tls'
import type { Logger } from '../core/log.ts'

/** PEM files. */
export interface CertificateFiles {
  /** The certificate of the server, followed by the intermediate ones up to its authority. */
  readonly cert: string
  readonly key: string
  /** Authorities of clients: with this file only clients with a certificate of theirs get in (mutual TLS). */
  readonly clientCa: string | undefined
}

/** Pause between two looks at the files: tools that renew certificates (certbot, cert-manager) only write files. */
const POLL_MS = 5000

/** The certificate of the server, followed while its files change. */
export class Certificates implements Disposable {
  readonly #files: CertificateFiles
  readonly #log: Logger
  readonly #listeners = new Set<(context: SecureContextOptions) => void>()
  readonly #poll: NodeJS.Timeout
  #context: SecureContextOptions
  /** State of the files when they were last read: a broken pair is reported once, not at every look. */
  #seen: string
  #looking = false

  private constructor(files: CertificateFiles, log: Logger, read: { context: SecureContextOptions; seen: string }) {
    this.#files = files
    this.#log = log
    this.#context = read.context
    this.#seen = read.seen
    this.#poll = setInterval(() => void this.#look(), POLL_MS)
    this.#poll.unref()
  }

  /** @throws SLW_CONFIG_INVALID naming the file that cannot be read, or the pair that does not belong together */
  static async open(files: CertificateFiles, log: Logger): Promise<Certificates> {
    const seen = await lookOf(files)
    return new Certificates(files, log, { context: await readContext(files, log), seen })
  }

  get context(): SecureContextOptions {
    return this.#context
  }

  /** Whether clients need a certificate. */
  get mutual(): boolean {
    return this.#files.clientCa !== undefined
  }

  /** Adds a listener that is called whenever there is another certificate. */
  onChange(listener: (context: SecureContextOptions) => void): void {
    this.#listeners.add(listener)
  }

  /** Reads the files again; open connections go on. @throws SLW_CONFIG_INVALID; the certificate before stays then */
  async reload(): Promise<void> {
    this.#seen = await lookOf(this.#files)
    this.#context = await readContext(this.#files, this.#log)
    for (const listener of this.#listeners) listener(this.#context)
  }

  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      if ((await lookOf(this.#files)) === this.#seen) return
      await this.reload()
      this.#log.info({ cert: this.#files.cert }, 'the TLS certificate was re-read')
    } catch (error) {
      this.#log.error({ cert: this.#files.cert }, `going on with the old TLS certificate: ${messageOf(error)}`)
    } finally {
      this.#looking = false
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#poll)
    this.#listeners.clear()
  }
}

/** The state of the files, which changes when one is written, replaced or removed. */
async function lookOf(files: CertificateFiles): Promise<string> {
  const looks = [files.cert, files.key, files.clientCa].map(async (path) => {
    if (path === undefined) return ''
    try {
      const { mtimeMs, size, ino } = await stat(path)
      return `${mtimeMs} ${size} ${ino}`
    } catch (error) {
      return messageOf(error)
    }
  })
  return (await Promise.all(looks)).join('|')
}

async function readContext(files: CertificateFiles, log: Logger): Promise<SecureContextOptions> {
  const [cert, key, ca] = await Promise.all([
    readPem('tls.cert', files.cert),
    readSecretFile('tls.key', files.key, log),
    files.clientCa === undefined ? undefined : readPem('tls.clientCa', files.clientCa),
  ])
  const context: SecureContextOptions = { cert, key, ...(ca !== undefined && { ca }), minVersion: 'TLSv1.2' }
  try {
    createSecureContext(context)
  } catch (error) {
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `tls.cert ${files.cert} and tls.key ${files.key} are no pair of PEM files that TLS can use: ${messageOf(error)}`,
      { cause: error },
    )
  }
  const { validToDate } = new X509Certificate(cert)
  if (validToDate.getTime() < Date.now())
    log.warn({ cert: files.cert }, `the TLS certificate ${files.cert} expired on ${validToDate.toISOString()}`)
  return context
}

async function readPem(setting: string, path: string): Promise<string> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new SlipwayError('SLW_CONFIG_INVALID', `${setting} ${path} cannot be read: ${messageOf(error)}`, { cause: error })
  }
  // A file without a certificate would otherwise only show in errors of every client.
  if (!text.includes('-----BEGIN CERTIFICATE-----'))
    throw new SlipwayError('SLW_CONFIG_INVALID', `${setting} ${path}: no certificate in PEM form (-----BEGIN CERTIFICATE-----) is in it`)
  return text
}
