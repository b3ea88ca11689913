import { SlipwayError } from '../../core/errors.ts'
import { readKey, requireKey, trust, withCredentials } from '../credentials.ts'
import type { Command } from 'commander'
import type { CredentialOptions } from '../credentials.ts'

export interface ServerCredentials extends CredentialOptions {
  readonly apiKey?: string | undefined
}

/** Adds the options of commands that ask a running server. */
export function withServerCredentials(command: Command): Command {
  const asked = 'file with the key that the server asks for, sent as Authorization: Bearer'
  return withCredentials(command, asked).option('--api-key <key>', 'the key itself, which others on this machine can see meanwhile')
}

/** The key to ask a server with, if there is one; authorities given are trusted from now on. @throws SLW_USAGE */
export async function serverKey({ apiKey, keyFile, ca }: ServerCredentials): Promise<string | undefined> {
  await trust(ca)
  if (keyFile !== undefined) return await readKey(keyFile)
  return apiKey === undefined ? undefined : requireKey(apiKey, '--api-key')
}

/** The `authorization` header for a key; no headers without a key. */
export function authorization(apiKey: string | undefined): Record<string, string> {
  return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
}

export interface Ask {
  readonly apiKey?: string | undefined
  readonly method?: 'GET' | 'POST'
  readonly body?: string
  /** Also accept answers without success, as those of health routes. */
  readonly anyStatus?: boolean
}

/** Sends a request to a running server. @throws SLW_UNREACHABLE where the server does not answer, or not with success */
export async function askServer(url: string, { apiKey, method = 'GET', body, anyStatus = false }: Ask = {}): Promise<Response> {
  let response: Response
  try {
    response = await fetch(url, { method, headers: authorization(apiKey), ...(body !== undefined && { body }) })
  } catch (error) {
    // `fetch` of Node waits five minutes for an answer.
    if (codeOf(error) === 'UND_ERR_HEADERS_TIMEOUT')
      throw new SlipwayError('SLW_UNREACHABLE', `${url} has not answered for 5 minutes; it may still do what it was asked for`, {
        cause: error,
      })
    throw new SlipwayError('SLW_UNREACHABLE', `${url} does not answer; is the server running?${reasonOf(error)}`, { cause: error })
  }
  if (response.status === 401 || response.status === 403)
    throw new SlipwayError(
      'SLW_UNREACHABLE',
      `${url} answers ${response.status}: ${apiKey === undefined ? 'it asks for a key; give one with --key-file' : 'it does not accept the key'}`,
    )
  if (!response.ok && !anyStatus) throw new SlipwayError('SLW_UNREACHABLE', `${url} answers ${response.status}: ${await response.text()}`)
  return response
}

/** The error code of `fetch`, such as a certificate that is not trusted or an unknown name; empty where nothing listens. */
function reasonOf(error: unknown): string {
  const code = codeOf(error)
  return code === undefined || code === 'ECONNREFUSED' ? '' : ` (${code})`
}

function codeOf(error: unknown): string | undefined {
  return ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code
}

/** Name of the only model of a server. @throws SLW_USAGE where the server has several, or none */
export async function onlyModel(base: string, apiKey?: string): Promise<string> {
  const response = await askServer(`${base}/v2/repository/index`, { apiKey, method: 'POST', body: '{"ready":true}' })
  const index = (await response.json()) as { name: string }[]
  const names = [...new Set(index.map((entry) => entry.name))]
  const [name] = names
  if (name === undefined || names.length > 1)
    throw new SlipwayError('SLW_USAGE', `the server has ${names.length} models (${names.join(', ')}); choose one with --model`)
  return name
}

/** The server's example of a body that the model accepts. */
export async function exampleBody(base: string, model: string, apiKey?: string): Promise<string> {
  return (await askServer(`${base}/models/${model}/example`, { apiKey })).text()
}
