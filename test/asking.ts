import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { IncomingHttpHeaders, RequestOptions } from 'node:http'
import type { SecureContextOptions } from 'node:tls'

export interface Asked {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

export interface Question
  extends Pick<RequestOptions, 'method' | 'headers' | 'socketPath'>, Pick<SecureContextOptions, 'ca' | 'cert' | 'key' | 'maxVersion'> {
  readonly body?: string | Uint8Array
}

/** One request on a connection of its own, with any header (also Host and Origin), over TCP, TLS or a Unix socket. */
export function ask(url: string, question: Question = {}): Promise<Asked> {
  const { body, ...options } = question
  const send = url.startsWith('https:') ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const request = send(url, { agent: false, method: body === undefined ? 'GET' : 'POST', ...options }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }))
      response.once('error', reject)
    })
    request.once('error', reject)
    request.end(body)
  })
}

/** Everything that a server logs, as text. */
export function listeningLogger(): { readonly lines: string[] } & Record<
  'debug' | 'info' | 'warn' | 'error',
  (fields: object, message: string) => void
> {
  const lines: string[] = []
  const tell =
    (level: string) =>
    (fields: object, message: string): void => {
      lines.push(`${level} ${message} ${JSON.stringify(fields)}`)
    }
  return { lines, debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') }
}
