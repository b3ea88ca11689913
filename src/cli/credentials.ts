/** Keys of callers and certificates of authorities, as people give them to commands that ask a server or a control plane. */
import { readFile } from 'node:fs/promises'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { SlipwayError } from '../core/errors.ts'
import type { Command } from 'commander'

export interface CredentialOptions {
  readonly keyFile?: string | undefined
  readonly ca?: string | undefined
}

/** Adds the options that say by which key a command asks, and whom it trusts. */
export function withCredentials(command: Command, key: string): Command {
  return command.option('--key-file <file>', key).option('--ca <file>', 'authorities (PEM) that are trusted beside those of this machine')
}

/** Trusts the authorities of a file, beside those of this machine, until the process ends. @throws SLW_USAGE */
export async function trust(file: string | undefined): Promise<void> {
  if (file === undefined) return
  const certificates = await textOf(file, '--ca')
  if (!/-----BEGIN CERTIFICATE-----/.test(certificates))
    throw new SlipwayError('SLW_USAGE', `--ca ${file}: expected certificates (PEM), and there is none`)
  setDefaultCACertificates([...getCACertificates('default'), certificates])
}

/** Reads a key from a file; `-` is the standard input. @throws SLW_USAGE without the key in its message */
export async function readKey(file: string, flag = '--key-file'): Promise<string> {
  return requireKey(await textOf(file === '-' ? '/dev/stdin' : file, flag), `${flag} ${file}`)
}

/**
 * Requires that a text can be sent as a key, once space around it is removed. Whoever sends a header that is invalid gets an error that
 * shows it.
 * @param where its origin, for the error
 * @throws SLW_USAGE without the key in its message
 */
export function requireKey(text: string, where: string): string {
  const key = text.trim()
  const wrong = whyNoKey(key)
  if (wrong !== undefined) throw new SlipwayError('SLW_USAGE', `${where}: expected one line with a key, and ${wrong}`)
  return key
}

function whyNoKey(key: string): string | undefined {
  if (key === '') return 'it is empty'
  const lines = key.split(/\r\n|[\r\n]/).length
  if (lines > 1) return `it has ${lines} lines`
  const at = key.search(/[^\u0021-\u007E]/)
  return at === -1 ? undefined : `character ${at + 1} of it is none that a key can have`
}

async function textOf(file: string, flag: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const reason = code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'it cannot be read by you' : (error as Error).message
    throw new SlipwayError('SLW_USAGE', `${flag} ${file}: ${reason}`, { cause: error })
  }
}
